#include "http/status/page.h"

namespace weir::inline v1::http {

const std::string_view kPageScript = R"js('use strict';
(() => {
const WINDOW = 120;  // seconds that the charts show
const GAP = 2.5;     // seconds without a sample that break a line
const RETRY = 2000;  // milliseconds, where the browser does not try again by itself

const byId = (id) => document.getElementById(id);
const none = '–';

// ---- Figures ----

const grouped = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const count = (value) => grouped.format(value).replaceAll(',', '\u202f');
const digits3 = (value) => value >= 100 ? value.toFixed(0)
    : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const short = (value) => value === 0 ? '0' : digits3(value).replace(/\.0+$|(\.\d*[1-9])0+$/, '$1');
const rate = (value) => value >= 10 || Number.isInteger(value) ? count(value) : value.toFixed(1);

const scaled = (value, units, step) => {
  let i = 0;
  while (i + 1 < units.length && value >= step * 0.9995) { value /= step; ++i; }
  return [value, units[i]];
};
const bytesIn = (value) => scaled(value, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], 1024);
const secondsIn = (value) => scaled(value * 1e6, ['µs', 'ms', 's'], 1000);
const figure = ([value, unit]) => (unit === 'B' ? count(value) : digits3(value)) + '\u00a0' + unit;
const bytes = (value) => figure(bytesIn(value));
const seconds = (value) => figure(secondsIn(value));
const tick = ([value, unit]) => short(value) + '\u00a0' + unit;

const duration = (value) => {
  const two = (part) => String(part).padStart(2, '0');
  const whole = Math.floor(value);
  const days = Math.floor(whole / 86400);
  const clock = Math.floor(whole / 3600) % 24 + ':' + two(Math.floor(whole / 60) % 60) + ':' +
      two(whole % 60);
  return days > 0 ? days + ' d ' + clock : clock;
};

const setText = (element, text) => {
  if (element.textContent !== text) element.textContent = text;
};
const show = (id, text) => setText(byId(id), text);
// The unit stands small behind its figure.
const showFigure = (id, parts) => {
  const text = parts === null ? none : figure(parts);
  const [value, unit] = text.split('\u00a0');
  const element = byId(id);
  setText(element, value);
  let small = element.nextElementSibling;
  if (small === null) {
    small = document.createElement('small');
    element.after(small);
  }
  setText(small, unit === undefined ? '' : unit + (element.dataset.per || ''));
};

// ---- Charts ----

const points = [];  // {t, requests, p50, p99, p999, open, flight, receive, queue}, by time
let clock = {t: 0, at: 0};  // the server's time when the last sample came, by ours
let live = false;

const timeNow = () => live ? clock.t : clock.t + (performance.now() - clock.at) / 1000;

const niceStep = (raw) => {
  const unit = 10 ** Math.floor(Math.log10(raw));
  const factors = unit >= 10 ? [1, 2, 2.5, 5, 10] : [1, 2, 5, 10];
  return unit * factors.find((factor) => unit * factor >= raw * 0.9999);
};
const niceBinaryStep = (raw) => {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log2(raw) / 10));
  return unit * Math.max(1, 2 ** Math.ceil(Math.log2(raw / unit) - 1e-9));
};

const linear = (values, least, step) => {
  const most = Math.max(least, Math.max(0, ...values) * 1.04);  // room above the line
  const by = step(most / 4);
  const top = Math.ceil(most / by - 1e-9) * by;
  const ticks = [];
  for (let i = 0; i * by <= top * 1.0001; ++i) ticks.push({value: i * by, label: true});
  return {ticks, place: (value) => value / top};
};

const logarithmic = (values) => {
  const low = Math.floor(Math.log10(values.length ? Math.min(...values) : 1e-5));
  const high = Math.max(low + 1, Math.ceil(Math.log10(values.length ? Math.max(...values) : 1e-3)));
  const ticks = [];
  for (let decade = low; decade <= high; ++decade) {
    ticks.push({value: 10 ** decade, label: true});
    if (decade === high || high - low > 2) continue;
    const label = high - low === 1;
    for (const factor of [2, 5]) ticks.push({value: factor * 10 ** decade, label});
  }
  return {ticks, place: (value) => (Math.log10(value) - low) / (high - low)};
};

const dashes = {solid: [], dashed: [6, 4], dotted: [1.5, 3.5]};

class Chart {
  constructor(id, series, scale, label) {
    this.canvas = byId(id);
    this.series = series;
    this.scale = scale;
    this.label = label;
    this.hover = null;  // a place on the canvas, in CSS pixels
    const at = (event) => {
      this.hover = event.clientX - this.canvas.getBoundingClientRect().left;
      this.draw();
    };
    this.canvas.addEventListener('pointermove', at);
    this.canvas.addEventListener('pointerdown', at);
    for (const end of ['pointerleave', 'pointercancel']) {
      this.canvas.addEventListener(end, () => { this.hover = null; this.draw(); });
    }
  }

  draw() {
    const {canvas} = this;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const style = getComputedStyle(document.documentElement);
    const pen = canvas.getContext('2d');
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = '11px ' + getComputedStyle(document.body).fontFamily;
    const now = timeNow();
    const seen = points.filter((point) => point.t >= now - WINDOW);
    const values = seen.flatMap((point) => this.series.map(({key}) => point[key]))
        .filter((value) => value !== null);
    const scale = this.scale(values);
    const labels = scale.ticks.map(({value}) => this.label(value));
    const left = Math.ceil(Math.max(...labels.map((text) => pen.measureText(text).width))) + 9;
    const box = {left, right: width - 6, top: 8, bottom: height - 20};
    const frame = {
      pen, box, scale, labels, now, style,
      x: (t) => box.right - (now - t) / WINDOW * (box.right - box.left),
      y: (value) => box.bottom - scale.place(value) * (box.bottom - box.top),
    };
    this.drawAxes(frame);
    if (values.length === 0) this.drawNothing(frame);
    for (const one of this.series) this.drawSeries(frame, one, seen);
    this.drawHover(frame, seen);
  }

  drawAxes({pen, box, scale, labels, style, y}) {
    const width = box.right - box.left;
    pen.lineWidth = 1;
    pen.setLineDash([]);
    pen.textBaseline = 'middle';
    pen.textAlign = 'right';
    scale.ticks.forEach(({value, label}, i) => {
      const at = Math.round(y(value)) + 0.5;
      pen.strokeStyle = style.getPropertyValue(i === 0 ? '--line' : '--grid');
      pen.beginPath();
      pen.moveTo(box.left, at);
      pen.lineTo(box.right, at);
      pen.stroke();
      if (!label) return;
      pen.fillStyle = style.getPropertyValue('--muted');
      pen.fillText(labels[i], box.left - 7, at);
    });
    pen.textBaseline = 'alphabetic';
    pen.fillStyle = style.getPropertyValue('--muted');
    const every = width < 380 ? 60 : 30;
    for (let ago = 0; ago <= WINDOW; ago += every) {
      const at = box.right - ago / WINDOW * width;
      const text = ago === 0 ? 'now' : ago % 60 === 0 ? '−' + ago / 60 + ' min' : '−' + ago + ' s';
      pen.textAlign = ago === 0 ? 'right' : ago === WINDOW ? 'left' : 'center';
      pen.fillText(text, at, box.bottom + 16);
      pen.strokeStyle = style.getPropertyValue('--line');
      pen.beginPath();
      pen.moveTo(Math.round(at) - (ago === 0 ? 0.5 : -0.5), box.bottom);
      pen.lineTo(Math.round(at) - (ago === 0 ? 0.5 : -0.5), box.bottom + 4);
      pen.stroke();
    }
  }

  drawNothing({pen, box, style}) {
    pen.fillStyle = style.getPropertyValue('--muted');
    pen.textAlign = 'center';
    pen.fillText('nothing was measured yet', (box.left + box.right) / 2,
        (box.top + box.bottom) / 2);
  }

  // Runs of points without a gap.
  static runs(key, seen) {
    const runs = [];
    let last = null;
    for (const point of seen) {
      if (point[key] === null) { last = null; continue; }
      if (last === null || point.t - last.t > GAP) runs.push([]);
      runs.at(-1).push(point);
      last = point;
    }
    return runs;
  }

  drawSeries({pen, box, style, x, y}, {key, color, dash, fills}, seen) {
    const ink = style.getPropertyValue('--' + color);
    pen.lineJoin = 'round';
    pen.lineCap = dash === 'dashed' ? 'butt' : 'round';
    for (const run of Chart.runs(key, seen)) {
      if (fills && run.length > 1) {
        pen.fillStyle = style.getPropertyValue('--wash');
        pen.beginPath();
        pen.moveTo(x(run[0].t), box.bottom);
        for (const point of run) pen.lineTo(x(point.t), y(point[key]));
        pen.lineTo(x(run.at(-1).t), box.bottom);
        pen.fill();
      }
      pen.strokeStyle = ink;
      pen.lineWidth = dash === 'dotted' ? 2 : 1.6;
      pen.setLineDash(run.length > 1 ? dashes[dash] : []);
      pen.beginPath();
      pen.moveTo(x(run[0].t), y(run[0][key]));
      for (const point of run) pen.lineTo(x(point.t), y(point[key]));
      pen.stroke();
    }
    pen.setLineDash([]);
  }

  // The legend says what the line is at: where the pointer is, or else at the end.
  drawHover({pen, box, style, x, y}, seen) {
    let point = points.at(-1);
    if (this.hover !== null && seen.length > 0) {
      const distance = (one) => Math.abs(x(one.t) - this.hover);
      point = seen.reduce((best, one) => distance(one) < distance(best) ? one : best);
      const at = Math.round(x(point.t)) + 0.5;
      pen.strokeStyle = style.getPropertyValue('--muted');
      pen.lineWidth = 1;
      pen.beginPath();
      pen.moveTo(at, box.top);
      pen.lineTo(at, box.bottom);
      pen.stroke();
    }
    for (const {key, color} of this.series) {
      const value = point === undefined ? null : point[key];
      const output = document.querySelector('[data-key="' + key + '"]');
      setText(output, value === null ? none : this.label(value, true));
      if (value === null || this.hover === null) continue;
      pen.fillStyle = style.getPropertyValue('--' + color);
      pen.beginPath();
      pen.arc(x(point.t), y(value), 3, 0, 2 * Math.PI);
      pen.fill();
    }
  }
}

const one = (key, color, dash, fills = false) => ({key, color, dash, fills});
const wholeOr = (format) => (value, exact) => exact ? format(value) : count(value);
const charts = [
  new Chart('c-requests', [one('requests', 'water', 'solid', true)],
      (values) => linear(values, 4, niceStep), wholeOr(rate)),
  new Chart('c-latency', [one('p999', 'plum', 'dotted'), one('p99', 'sand', 'dashed'),
      one('p50', 'water', 'solid')], logarithmic,
      (value, exact) => exact ? seconds(value) : tick(secondsIn(value))),
  new Chart('c-open', [one('open', 'water', 'solid', true), one('flight', 'sand', 'dashed')],
      (values) => linear(values, 4, niceStep), wholeOr(count)),
  new Chart('c-memory', [one('receive', 'water', 'solid', true), one('queue', 'sand', 'dashed')],
      (values) => linear(values, 4096, niceBinaryStep),
      (value, exact) => exact ? bytes(value) : tick(bytesIn(value))),
];
const drawAll = () => charts.forEach((chart) => chart.draw());

// ---- Tables ----

const rowsOf = (id, wanted, make) => {
  const body = byId(id);
  while (body.rows.length > wanted) body.deleteRow(-1);
  while (body.rows.length < wanted) make(body.insertRow());
  return [...body.rows];
};
const addCells = (row, classes) => {
  const head = document.createElement('th');
  head.scope = 'row';
  row.append(head);
  for (const name of classes) row.insertCell().className = name;
};
const addBar = (row) => {
  const outer = document.createElement('div');
  outer.append(document.createElement('div'));
  outer.ariaHidden = 'true';
  row.cells[row.cells.length - 1].append(outer);
};
const setBar = (cell, share) => {
  cell.firstElementChild.firstElementChild.style.width = 100 * Math.min(1, share) + '%';
};

const showResponses = ({responses, requests}) => {
  const named = ['1xx', '2xx', '3xx', '4xx', '5xx', 'other'].map((name, i) => [name, responses[i]])
      .filter(([name, value]) => name !== '1xx' && name !== 'other' || value > 0);
  named.push(['without an answer', requests.cutOff], ['refused', requests.refused]);
  if (requests.takenOver > 0) named.push(['upgraded', requests.takenOver]);
  const all = Math.max(1, requests.begun + requests.refused);
  const rows = rowsOf('responses', named.length, (row) => {
    addCells(row, ['', '', 'wide bar']);
    addBar(row);
  });
  rows.forEach((row, i) => {
    const [name, value] = named[i];
    const share = 100 * value / all;
    setText(row.cells[0], name);
    setText(row.cells[1], count(value));
    setText(row.cells[2], value === 0 ? none : share < 0.1 ? '< 0.1 %' : share.toFixed(1) + ' %');
    setBar(row.cells[3], share / 100);
  });
};

const sumOf = (reactors, key) => reactors.reduce((sum, reactor) => sum + reactor[key], 0);

const showLimits = ({connections, reactors}) => {
  const lines = [
    ['Connections', connections.open, connections.max, count],
    ['Receive memory', sumOf(reactors, 'receive'), sumOf(reactors, 'receiveMax'), bytes],
    ['Write queues', sumOf(reactors, 'queue'), sumOf(reactors, 'queueMax'), bytes],
    ['Posted tasks', sumOf(reactors, 'posted'), sumOf(reactors, 'postedMax'), count],
  ];
  const rows = rowsOf('limits', lines.length, (row) => {
    addCells(row, ['', '', 'wide bar']);
    addBar(row);
  });
  rows.forEach((row, i) => {
    const [name, used, most, format] = lines[i];
    setText(row.cells[0], name);
    setText(row.cells[1], format(used));
    setText(row.cells[2], most === null ? 'none' : format(most));
    const share = most ? used / most : 0;
    row.cells[3].firstElementChild.hidden = most === null;
    row.cells[3].classList.toggle('high', share > 0.75);
    setBar(row.cells[3], share);
  });
};

const showReactors = ({reactors, uptime}, before) => {
  const comparable = before !== null && before.reactors.length === reactors.length;
  const span = comparable ? uptime - before.uptime : 0;
  const rows = rowsOf('reactors', reactors.length, (row) =>
    addCells(row, ['', '', 'wide', 'wide', '', 'wide', 'wide']));
  rows.forEach((row, i) => {
    const now = reactors[i];
    const change = (key) => span > 0 && now[key] >= before.reactors[i][key]
        ? rate((now[key] - before.reactors[i][key]) / span) : none;
    const texts = [String(i), count(now.sockets), change('turns'), change('completions'),
      change('systemCalls'), bytes(now.receive), bytes(now.queue), count(now.unhandled)];
    texts.forEach((text, column) => setText(row.cells[column], text));
  });
};

const showBackend = (reactors) => {
  const kinds = new Map();
  for (const {backend, reason} of reactors) {
    const key = backend + '\n' + reason;
    kinds.set(key, (kinds.get(key) || 0) + 1);
  }
  const parts = [];
  for (const [key, threads] of kinds) {
    const [backend, reason] = key.split('\n');
    const name = document.createElement('b');
    name.textContent = backend;
    const on = threads === 1 ? ' on 1 thread' : ' on ' + threads + ' threads';
    if (parts.length > 0) parts.push('; ');
    parts.push(name, on + ': ' + reason);
  }
  byId('backend').replaceChildren(...parts);
};

// ---- Samples ----

let before = null;

const showTiles = (sample) => {
  const {connections, requests, rate: rates, latency, bytes: moved, reactors} = sample;
  show('requests', rates === null ? none : rate(rates.answered));
  show('requests-note', count(requests.answered) + ' since the start');
  const measured = latency !== null && latency.count > 0;
  showFigure('latency', measured ? secondsIn(latency.p99) : null);
  show('latency-note', sample.latencySinceStart === null ? 'not measured'
      : measured ? 'p50\u00a0' + seconds(latency.p50) + ', p99.9\u00a0' + seconds(latency.p999)
      : 'no response in this second');
  show('open', count(connections.open));
  show('open-note', count(connections.accepted) + ' accepted, ' + count(connections.dropped) +
      ' dropped');
  show('flight', count(requests.inFlight));
  show('flight-note', 'with this page’s own stream');
  showFigure('sent', rates === null ? null : bytesIn(rates.out));
  show('sent-note', rates === null ? '\u00a0' : 'received ' + bytes(rates.in) + '/s');
  showFigure('queued', bytesIn(moved.queued));
  show('queued-note', 'of ' + bytes(sumOf(reactors, 'queueMax')));
};

const take = (sample) => {
  if (before !== null && sample.uptime < before.uptime - 5) {  // another server is there now
    points.length = 0;
    before = null;
  }
  const {rate: rates, latency, reactors} = sample;
  const measured = latency !== null && latency.count > 0;
  points.push({
    t: sample.uptime,
    requests: rates === null ? null : rates.answered,
    p50: measured ? latency.p50 : null,
    p99: measured ? latency.p99 : null,
    p999: measured ? latency.p999 : null,
    open: sample.connections.open,
    flight: sample.requests.inFlight,
    receive: sumOf(reactors, 'receive'),
    queue: sumOf(reactors, 'queue'),
  });
  while (points[0].t < sample.uptime - 2 * WINDOW) points.shift();
  clock = {t: sample.uptime, at: performance.now()};
  show('uptime', 'up ' + duration(sample.uptime));
  showTiles(sample);
  showBackend(reactors);
  showResponses(sample);
  showLimits(sample);
  showReactors(sample, before);
  before = sample;
  drawAll();
};

// ---- The connection ----

const setState = (name, text) => {
  document.documentElement.className = name;
  show('state', text);
};

const lose = () => {
  if (document.documentElement.className !== 'lost') {
    const time = new Date().toLocaleTimeString('en', {hour12: false});
    setState('lost', 'disconnected since ' + time + ', trying again');
  }
  live = false;
};

const connect = () => {
  const source = new EventSource(document.body.dataset.events);
  source.addEventListener('status', (event) => {
    live = true;
    if (document.documentElement.className !== 'live') setState('live', 'live');
    take(JSON.parse(event.data));
  });
  source.addEventListener('error', () => {
    lose();
    // After an answer that is no stream the browser gives up.
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    setTimeout(connect, RETRY);
  });
};

byId('sent').dataset.per = '/s';
// Time goes on, also without samples.
setInterval(() => { if (!live && before !== null) drawAll(); }, 1000);
addEventListener('resize', drawAll);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', drawAll);
drawAll();
connect();
})();
)js";

}  // namespace weir::inline v1::http
