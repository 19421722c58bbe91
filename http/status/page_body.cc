#include "http/status/page.h"

namespace weir::inline v1::http {

const std::string_view kPageBody = R"html(<body data-events="{{events}}">
<header>
<div class="who">
<svg viewBox="0 0 30 22" aria-hidden="true" fill="none" stroke-width="2" stroke-linecap="round">
<path class="water" d="M1 5h9c5 0 3 11 8 11h11"/>
<path stroke="currentColor" d="M8 10v9h6" opacity=".55"/>
</svg>
<h1>{{name}}</h1>
</div>
<p id="state" role="status">connecting</p>
<p id="uptime" class="key"></p>
</header>
<p class="backend" id="backend">&nbsp;</p>
<noscript><p>The figures need JavaScript; <a href="/metrics">/metrics</a> does not.</p></noscript>
<main>
<dl class="panel tiles">
<div class="tile"><dt>Requests</dt><dd><span id="requests">–</span><small>/s</small></dd>
<dd class="note" id="requests-note">&nbsp;</dd></div>
<div class="tile"><dt>Latency, p99</dt><dd><span id="latency">–</span></dd>
<dd class="note" id="latency-note">&nbsp;</dd></div>
<div class="tile"><dt>Connections</dt><dd><span id="open">–</span></dd>
<dd class="note" id="open-note">&nbsp;</dd></div>
<div class="tile"><dt>In flight</dt><dd><span id="flight">–</span></dd>
<dd class="note" id="flight-note">&nbsp;</dd></div>
<div class="tile"><dt>Sent</dt><dd><span id="sent">–</span></dd>
<dd class="note" id="sent-note">&nbsp;</dd></div>
<div class="tile"><dt>Queued output</dt><dd><span id="queued">–</span></dd>
<dd class="note" id="queued-note">&nbsp;</dd></div>
</dl>
<section class="panel charts" aria-label="The last two minutes">
<figure>
<div class="head"><h2>Requests <span>answered a second</span></h2>
<span class="key"><i class="water"></i>all<output data-key="requests">–</output></span></div>
<canvas id="c-requests" role="img" aria-label="Requests answered a second, over time"></canvas>
</figure>
<figure>
<div class="head"><h2>Latency <span>log scale</span></h2>
<span class="key"><i class="water"></i>p50<output data-key="p50">–</output></span>
<span class="key"><i class="sand dashed"></i>p99<output data-key="p99">–</output></span>
<span class="key"><i class="plum dotted"></i>p99.9<output data-key="p999">–</output></span></div>
<canvas id="c-latency" role="img" aria-label="Percentiles of latency, over time"></canvas>
</figure>
<figure>
<div class="head"><h2>Connections <span>open</span></h2>
<span class="key"><i class="water"></i>open<output data-key="open">–</output></span>
<span class="key"><i class="sand dashed"></i>in flight<output data-key="flight">–</output></span>
</div>
<canvas id="c-open" role="img" aria-label="Open connections, over time"></canvas>
</figure>
<figure>
<div class="head"><h2>Memory <span>in use</span></h2>
<span class="key"><i class="water"></i>receive<output data-key="receive">–</output></span>
<span class="key"><i class="sand dashed"></i>write queues<output data-key="queue">–</output></span>
</div>
<canvas id="c-memory" role="img" aria-label="Memory of buffers in use, over time"></canvas>
</figure>
</section>
<section class="panel tables">
<div>
<h2>Responses since the start</h2>
<table><thead><tr><th>status</th><th>count</th><th>share</th><th class="wide"></th></tr></thead>
<tbody id="responses"></tbody></table>
</div>
<div>
<h2>Limits</h2>
<table><thead><tr><th>what</th><th>in use</th><th>limit</th><th class="wide"></th></tr></thead>
<tbody id="limits"></tbody></table>
</div>
<div class="whole">
<h2>Reactors</h2>
<table><thead><tr><th>thread</th><th>sockets</th><th>turns/s</th>
<th class="wide">completions/s</th><th class="wide">system calls/s</th><th>receive</th>
<th class="wide">write queues</th><th class="wide">errors</th></tr></thead>
<tbody id="reactors"></tbody></table>
</div>
</section>
</main>
<footer>
<p>Figures are those of the last second, each percentile as well; nothing is smoothed, and where
nothing was told there is a gap. Latency goes from the turn of the loop in which a request’s head
was complete to the one in which the kernel had the last byte of its response.</p>
<p>The same counters for Prometheus: <a href="/metrics">/metrics</a></p>
</footer>
</body>
)html";

}  // namespace weir::inline v1::http
