// What the service weighs: the chart, and the numbers beside it.

import { json } from "./api.js";
import { draw, hour, marks, ROLES, second, timeAt, total } from "./chart.js";
import { byId, element } from "./element.js";
import { repeat } from "./live.js";

const AT_WORK_SECONDS = 2,
  IDLE_SECONDS = 5, // GET /api/status takes the service 6 ms
  REQUESTS_SECONDS = 10; // with requests 20
const LONGEST_SECONDS = 3600;
const NAMES = { master: "gunicorn master", web: "web worker", whisper: "whisper engine", speech: "speech engine" };
const SHORTEST_SECONDS = 60; // of what is shown, when little is known
const SHOWN = 4; // of the engines' comings and goings

let samples = []; // { time, pss: MB by role }, oldest first
let behind = 0; // seconds the service's clock is ahead of this one
let asked = -Infinity; // when the last answer came
let requestsAsked = -Infinity; // when the last came that had requests
let memory = null;
let told = () => {};
let shown = null; // what the chart was drawn with
let pointed = null; // the time pointed at
let busy = 0; // what this page asked for that is not finished

// Keep the panel up to date; *tell* is given every answer of GET /api/status, all this page asks for while it only looks.
export function watchStatus(tell) {
  told = tell;
  byId("span").onchange = show;
  new ResizeObserver(show).observe(byId("chart"));
  byId("chart").onpointermove = (event) => {
    pointed = shown && timeAt(byId("chart"), event.offsetX, shown);
    show();
  };
  byId("chart").onpointerleave = () => {
    pointed = null;
    show();
  };
  lookNow = repeat(look, () => (working() ? AT_WORK_SECONDS : IDLE_SECONDS));
}

let lookNow = () => {};

// Look closely while *work* goes on: an engine starts for it.
export async function meanwhile(work) {
  busy += 1;
  lookNow();
  try {
    return await work;
  } finally {
    busy -= 1;
  }
}

const working = () => busy > 0 || memory === null || memory.budget.engines.some((engine) => engine.state !== "stopped");

async function look() {
  const gap = now() - asked > 3 * IDLE_SECONDS;
  const wanted = [];
  if (gap) wanted.push("with=history"); // what happened while nobody looked
  if (performance.now() - requestsAsked > 1000 * REQUESTS_SECONDS) wanted.push("with=requests");
  const status = await json(`api/status?${wanted.join("&")}`);
  if (status.production !== undefined) requestsAsked = performance.now();
  memory = status.memory;
  keep();
  if (gap) {
    remember(status.history);
    keep();
  }
  told(status);
  performance.mark("usable"); // `python -m benchmarks.page` reads when it first was
}

function keep() {
  asked = now();
  const pss = {};
  for (const { role, pss_mb } of memory.service.processes) pss[role] = (pss[role] ?? 0) + pss_mb;
  samples.push({ time: asked, pss });
  samples = samples.filter((one) => one.time > asked - LONGEST_SECONDS);
  show();
}

// Put *history* before the samples that were taken here; with monitoring off there is none.
function remember(history) {
  const kept = history.map(({ time, pss_mb }) => ({ time, pss: pss_mb }));
  if (samples.length === 1) samples = []; // by a clock that was not compared yet
  if (kept.length) behind = kept.at(-1).time - Date.now() / 1000;
  samples = [...kept, ...samples].sort((one, other) => one.time - other.time);
}

const now = () => Date.now() / 1000 + behind;

function show() {
  if (memory === null) return;
  const to = now();
  const longest = to - Number(document.querySelector("[name=span]:checked").value);
  const from = Math.max(longest, Math.min(samples[0].time, to - SHORTEST_SECONDS));
  const before = samples
    .filter((one) => one.time < from)
    .slice(-1)
    .map((one) => ({ ...one, time: from }));
  const seen = [...before, ...samples.filter((one) => one.time >= from)];
  const budget = memory.service.budget_mb;
  shown = { from, to, budget, pointed };
  draw(byId("chart"), seen, shown);
  const most = grouped(Math.max(...seen.map((one) => total(one.pss))));
  const { time, pss } = pointed ? (samples.findLast((one) => one.time <= pointed) ?? samples[0]) : samples.at(-1);
  byId("total").textContent = total(pss).toFixed(1);
  byId("of-budget").textContent = pointed ? `at ${second(time)}` : `of ${grouped(budget)} MB`;
  byId("peak").textContent = `At most ${most} MB in the time shown.`;
  byId("chart-says").textContent =
    `Memory from ${hour(from)} to ${hour(to)}: now ${total(samples.at(-1).pss).toFixed(1)} MB, at most ${most} MB, of a budget of ${grouped(budget)} MB.`;
  byId("roles").replaceChildren(...ROLES.map((role) => row(role, pss[role])));
  byId("engine-log").replaceChildren(...marks(samples).slice(-SHOWN).reverse().map(line));
}

function row(role, mb) {
  const name = element("th", { scope: "row" }, element("span", { className: `swatch ${role}` }), NAMES[role]);
  return element("tr", {}, name, element("td", { textContent: mb === undefined ? "not running" : mb.toFixed(1) }));
}

function line({ time, role, kind, mb, lasted }) {
  const said =
    kind === "start" ? "started" : `ended${lasted ? ` after ${Math.round(lasted)} s` : ""}, −${Math.round(mb)} MB`;
  return element("li", {}, element("time", { textContent: second(time) }), ` ${role} ${said}`);
}

const grouped = (mb) => Math.round(mb).toLocaleString("en");
