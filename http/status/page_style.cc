#include "http/status/page.h"

namespace weir::inline v1::http {

const std::string_view kPageStyle = R"css(
:root {
  --paper: #f3f1ec;
  --panel: #fdfcfa;
  --ink: #1b2225;
  --muted: #596266;
  --line: #dcd8cf;
  --grid: #e8e5dd;
  --water: #0a6b74;
  --sand: #a35200;
  --plum: #7d2f68;
  --wash: rgba(10, 107, 116, .1);
  --alarm: #a8231c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f1416;
    --panel: #161c1f;
    --ink: #e3e8e6;
    --muted: #97a3a5;
    --line: #2a3337;
    --grid: #222a2e;
    --water: #55c2c3;
    --sand: #e9a857;
    --plum: #e392c6;
    --wash: rgba(85, 194, 195, .13);
    --alarm: #ff8f82;
  }
}
* { box-sizing: border-box; margin: 0; }
html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
body {
  max-width: 78rem; margin: 0 auto; padding: 1.4rem 1rem 2.5rem;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.15rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: .8rem; font-weight: 600; }
header { display: flex; flex-wrap: wrap; align-items: center; gap: .2rem .9rem; }
header svg { width: 30px; height: 22px; flex: none; }
header svg .water { stroke: var(--water); }
#uptime { margin-left: auto; }
header .who { display: flex; align-items: center; gap: .6rem; margin-right: auto; }
#state { display: flex; align-items: center; gap: .45rem; font-size: .85rem; }
#state::before {
  content: ""; width: .6rem; height: .6rem; border-radius: 50%;
  background: transparent; border: 2px solid var(--muted);
}
.live #state::before { background: var(--water); border-color: var(--water); }
.lost #state { color: var(--alarm); font-weight: 600; }
.lost #state::before { border-color: var(--alarm); }
.lost .panel { color: var(--muted); }
.backend { margin: .5rem 0 1rem; font-size: .85rem; color: var(--muted); }
.backend b { color: var(--ink); font-weight: 600; }
.panel {
  display: grid; gap: 1px; margin-bottom: .9rem; overflow: hidden;
  background: var(--line); border: 1px solid var(--line); border-radius: 7px;
}
.panel > * { background: var(--panel); padding: .75rem .9rem; min-width: 0; }
.tiles { grid-template-columns: repeat(2, 1fr); }
.tile dt { font-size: .8rem; color: var(--muted); }
.tile dd { font-size: 1.6rem; line-height: 1.25; letter-spacing: -.02em; white-space: nowrap; }
.tile dd small { font-size: .85rem; letter-spacing: 0; color: var(--muted); margin-left: .25em; }
.tile .note {
  font-size: .75rem; line-height: 1.4; letter-spacing: 0; color: var(--muted); white-space: normal;
}
.head { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem 1rem; }
.head h2 { margin-right: auto; }
.head h2 span { font-weight: 400; color: var(--muted); }
.key { display: flex; align-items: baseline; font-size: .75rem; color: var(--muted); }
.key i { align-self: center; width: 14px; margin-right: .35rem; border-top: 2px solid; }
.key .dashed { border-top-style: dashed; }
.key .dotted { border-top-style: dotted; border-top-width: 3px; }
.key output { min-width: 4.2em; margin-left: .5em; color: var(--ink); white-space: nowrap; }
.water { border-color: var(--water) !important; }
.sand { border-color: var(--sand) !important; }
.plum { border-color: var(--plum) !important; }
canvas { display: block; width: 100%; height: 172px; margin-top: .4rem; touch-action: pan-y; }
table { width: 100%; border-collapse: collapse; margin-top: .3rem; font-size: .85rem; }
th { font-weight: 400; color: var(--muted); text-align: left; }
thead th { font-size: .75rem; }
th, td { padding: .26rem 0; border-bottom: 1px solid var(--grid); }
th + th, td { padding-left: .8rem; text-align: right; white-space: nowrap; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { color: var(--ink); }
td.bar { width: 30%; }
td.bar div { height: 6px; border-radius: 3px; background: var(--grid); overflow: hidden; }
td.bar div div { height: 100%; width: 0; border-radius: 0; background: var(--water); }
td.bar.high div div { background: var(--alarm); }
footer { font-size: .75rem; color: var(--muted); }
footer p { max-width: 46rem; }
footer p + p { margin-top: .35rem; }
a { color: inherit; }
.wide { display: none; }
@media (min-width: 560px) {
  #uptime { margin-left: 0; }
  .tiles { grid-template-columns: repeat(3, 1fr); }
  .wide { display: table-cell; }
}
@media (min-width: 800px) {
  .charts, .tables { grid-template-columns: repeat(2, 1fr); }
  .tables .whole { grid-column: 1 / -1; }
}
@media (min-width: 1080px) {
  .tiles { grid-template-columns: repeat(6, 1fr); }
}
)css";

}  // namespace weir::inline v1::http
