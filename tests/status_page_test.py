#!/usr/bin/env python3
"""The status page of demo_server in Chromium.

  status_page_test.py DEMO_SERVER [--screenshots DIRECTORY]

With a directory it makes traffic for two minutes and writes light.png, dark.png and phone.png there.
Nothing sleeps: whatever is waited for has a bound.
"""

import base64
import contextlib
import http.client
import pathlib
import random
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from devtools import PATIENCE, Browser  # noqa: E402
from png import compress  # noqa: E402

WIDTHS = (360, 600, 820, 1280)
SCHEMES = ("light", "dark")
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3
CHARTS = ("c-requests", "c-latency", "c-open", "c-memory")
BYTES_MAX = 150_000  # of a screenshot

# Texts whose colour is too near to what is behind them.
CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = [r, g, b].map((c) => c / 255)
        .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let e = element; e !== null; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.body.querySelectorAll('*')].filter((e) => e.checkVisibility() &&
      !['SCRIPT', 'STYLE', 'NOSCRIPT'].includes(e.tagName) &&
      [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== ''));
  if (texts.length < 20) return ['only ' + texts.length + ' texts'];
  return texts.flatMap((e) => {
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return ratio < %f ? [e.textContent.trim() + ': ' + ratio.toFixed(2)] : [];
  });
})()""" % CONTRAST_MIN

# How many different colours a chart has: one that is empty has one.
COLOURS = """(() => {
  const canvas = document.getElementById('%s');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(data.buffer)).size;
})()"""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


class Server:
    """demo_server, here and there again."""

    def __init__(self, program, *flags, port=0):
        self._process = subprocess.Popen([program, "--host", "127.0.0.1", "--port", str(port),
                                          *flags], stdout=subprocess.PIPE)
        line = self._process.stdout.readline().decode()
        check(line.startswith("listening on "), f"{program}: {line!r}")
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("the server does not end while the page is open") from None


class Traffic:
    """Clients that ask until the end of `with`."""

    PATHS = ("/hello",) * 12 + ("/sum?a=1&b=2", "/chunked?n=40&size=4096", "/headers", "/nothing")

    def __init__(self, port, clients, pauses=False):
        self._port = port
        self._pauses = pauses
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number):
        chance = random.Random(number)
        while not self._end.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
            for _ in range(chance.randrange(200, 3000)):
                connection.request("GET", chance.choice(self.PATHS))
                connection.getresponse().read()
                if self._end.is_set():
                    break
            connection.close()
            if self._pauses:
                self._end.wait(chance.random() * 4)


class Page:
    def __init__(self, browser, url):
        self.browser = browser
        self.url = url
        browser.go_to(url)
        browser.when("document.documentElement.className === 'live'")

    def emulate(self, scheme, width, height=900, scale=1):
        self.browser.call("Emulation.setEmulatedMedia",
                          features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                          deviceScaleFactor=scale, mobile=width < 600)

    def text(self, name):
        return self.browser.evaluate(f"document.getElementById('{name}').textContent")

    def wait_for_change(self, name, times):
        for _ in range(times):
            before = self.text(name)
            self.browser.when(f"document.getElementById('{name}').textContent !== '{before}'")

    def problems(self):
        """What the console has got, and exceptions."""
        found = []
        for method, parameters in list(self.browser.events):
            if method == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"])
            if method == "Runtime.consoleAPICalled":
                found.append(parameters["args"])
            if method == "Log.entryAdded":
                found.append(parameters["entry"])
        return found

    def strangers(self):
        """Requests to others than the server."""
        asked = [parameters["request"]["url"] for method, parameters in list(self.browser.events)
                 if method == "Network.requestWillBeSent"]
        check(asked, "no request was seen")
        return [url for url in asked if not url.startswith((self.url, "data:"))]

    def screenshot(self, path):
        size = self.browser.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.browser.call("Page.captureScreenshot", captureBeyondViewport=True, clip={
            "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1})
        png = compress(base64.b64decode(shot["data"]))
        check(len(png) < BYTES_MAX, f"{path} has {len(png)} bytes")
        path.write_bytes(png)


def check_figures(page):
    """They are there, they change, and they are what the traffic makes them."""
    page.wait_for_change("requests", 2)
    page.wait_for_change("latency-note", 2)
    rate = float(page.text("requests").replace("\u202f", ""))
    check(rate > 0, f"{rate} requests a second, under traffic")
    check(int(page.text("open").replace("\u202f", "")) >= 3, "clients and the page are connected")
    backend = page.text("backend")
    check("on 2 threads" in backend and ":" in backend, f"the backend is {backend!r}")
    for chart in CHARTS:
        colours = page.browser.evaluate(COLOURS % chart)
        check(colours > 8, f"{chart} has {colours} colours: it is empty")
    check(page.browser.evaluate("document.querySelectorAll('#reactors tr').length") == 2,
          "a line for each thread")


def check_looks(page):
    papers = set()
    for scheme in SCHEMES:
        for width in WIDTHS:
            page.emulate(scheme, width)
            where = f"{scheme}, {width} wide"
            seen, all_of_it = page.browser.evaluate(
                "[innerWidth, document.scrollingElement.scrollWidth]")
            check(seen == width and all_of_it <= seen,
                  f"{where}: scrolls sideways, {all_of_it} of {seen}")
            pale = page.browser.evaluate(CONTRAST)
            check(not pale, f"{where}: hard to read: {pale}")
        papers.add(page.browser.evaluate(
            "getComputedStyle(document.documentElement).backgroundColor"))
    check(len(papers) == 2, "dark is as light")


def check_policy(page):
    """A script that somebody has smuggled in does not run."""
    page.browser.evaluate("""(() => {
      const script = document.createElement('script');
      script.textContent = 'globalThis.smuggled = true';
      document.body.append(script);
    })()""")
    check(page.browser.evaluate("globalThis.smuggled === undefined"), "a foreign script runs")


def test(program):
    with Browser() as browser, contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(program, "--threads", "2"))
        page = Page(browser, f"http://127.0.0.1:{server.port}/")
        with Traffic(server.port, clients=2):
            check_figures(page)
            check_looks(page)
            check(not page.problems(), f"the console: {page.problems()}")
            check(not page.strangers(), f"asked elsewhere: {page.strangers()}")
            check_policy(page)
        # The page says what it does not know, and finds the server again.
        server.__exit__()
        browser.when("document.documentElement.className === 'lost'")
        check(page.text("state").startswith("disconnected since"), page.text("state"))
        with Server(program, "--threads", "2", port=server.port):
            browser.when("document.documentElement.className === 'live'")
            page.wait_for_change("uptime", 2)


def take_screenshots(program, directory):
    directory.mkdir(parents=True, exist_ok=True)
    with Browser() as browser, Server(program, "--threads", "2") as server, contextlib.ExitStack() \
            as stack:
        page = Page(browser, f"http://127.0.0.1:{server.port}/")
        stack.enter_context(Traffic(server.port, clients=6, pauses=True))
        # Two minutes fill the charts; none of the waits is longer than a command may take.
        for moment in range(30, 151, 30):
            browser.when(f"document.getElementById('uptime').textContent >= 'up 0:0{moment // 60}:"
                         f"{moment % 60:02}'")
        for name, scheme, width in (("light", "light", 1180), ("dark", "dark", 1180),
                                    ("phone", "light", 360)):
            page.emulate(scheme, width, scale=1.5 if name == "phone" else 1)
            page.wait_for_change("uptime", 2)
            page.screenshot(directory / f"{name}.png")


def main():
    if len(sys.argv) == 4 and sys.argv[2] == "--screenshots":
        take_screenshots(sys.argv[1], pathlib.Path(sys.argv[3]))
    elif len(sys.argv) == 2:
        test(sys.argv[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
