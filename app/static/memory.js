// What the service weighs: the chart, and the numbers beside it.

import { json } from "./api.js";
import { draw, hour, marks, ROLES, total } from "./chart.js";
import { byId, element } from "./element.js";
import { repeat } from "./live.js";

const AT_WORK_SECONDS = 2, IDLE_SECONDS = 5; // GET /api/memory takes the service 6 ms
const LONGEST_SECONDS = 3600;
const NAMES = { master: "gunicorn master", web: "web worker", whisper: "whisper engine", speech: "speech engine" };
const SHOWN = 4; // of the engines' comings and goings

let samples = []; // { time, pss: MB by role }, oldest first
let behind = 0; // seconds the service's clock is ahead of this one
let asked = -Infinity; // when the last answer came
let memory = null;
let told = () => {};

// Keep the panel up to date; *tell* is given every answer of GET /api/memory.
export function watchMemory(tell) {
  told = tell;
  byId("span").onchange = show;
  new ResizeObserver(show).observe(byId("chart"));
  repeat(look, () => (working() ? AT_WORK_SECONDS : IDLE_SECONDS));
}

const working = () => memory === null || memory.budget.engines.some((engine) => engine.state !== "stopped");

async function look() {
  if (now() - asked > 3 * IDLE_SECONDS) await remember();
  memory = await json("api/memory");
  asked = now();
  const pss = {};
  for (const { role, pss_mb } of memory.service.processes) pss[role] = (pss[role] ?? 0) + pss_mb;
  samples.push({ time: asked, pss });
  samples = samples.filter((one) => one.time > asked - LONGEST_SECONDS);
  show();
  told(memory);
}

// What happened while nobody looked; with monitoring off nobody knows.
async function remember() {
  const history = await json("api/memory/history").catch((error) => {
    if (error.status === 404) return { samples: [] };
    throw error;
  });
  const kept = history.samples.map(({ time, pss_mb }) => ({ time, pss: pss_mb }));
  if (kept.length) behind = kept.at(-1).time - Date.now() / 1000;
  samples = [...kept, ...samples].sort((one, other) => one.time - other.time);
}

const now = () => Date.now() / 1000 + behind;

function show() {
  if (memory === null) return;
  const to = now();
  const from = to - Number(document.querySelector("[name=span]:checked").value);
  const before = samples.filter((one) => one.time < from).slice(-1).map((one) => ({ ...one, time: from }));
  const seen = [...before, ...samples.filter((one) => one.time >= from)];
  const budget = memory.service.budget_mb;
  draw(byId("chart"), seen, { from, to, budget });
  const weighs = memory.service.pss_mb;
  const most = Math.max(...seen.map((one) => total(one.pss)));
  byId("total").textContent = weighs.toFixed(1);
  byId("of-budget").textContent = `of ${grouped(budget)} MB`;
  byId("peak").textContent = `At most ${grouped(most)} MB in the time shown.`;
  byId("chart-says").textContent =
    `Memory from ${hour(from)} to ${hour(to)}: now ${weighs.toFixed(1)} MB, at most ${grouped(most)} MB, of a budget of ${grouped(budget)} MB.`;
  byId("roles").replaceChildren(...ROLES.map(row));
  byId("engine-log").replaceChildren(...marks(samples).slice(-SHOWN).reverse().map(line));
}

function row(role) {
  const mb = samples.at(-1).pss[role];
  const name = element("th", { scope: "row" }, element("span", { className: `swatch ${role}` }), NAMES[role]);
  return element("tr", {}, name, element("td", { textContent: mb === undefined ? "not running" : mb.toFixed(1) }));
}

function line({ time, role, kind, mb, lasted }) {
  const said = kind === "start" ? "started" : `gone${lasted ? ` after ${Math.round(lasted)} s` : ""}, ${Math.round(mb)} MB given back`;
  return element("li", {}, element("time", { textContent: new Date(time * 1000).toTimeString().slice(0, 8) }), ` ${NAMES[role]} ${said}`);
}

const grouped = (mb) => Math.round(mb).toLocaleString("en");
