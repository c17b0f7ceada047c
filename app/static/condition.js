// How the service is: its checks, its requests, its queue.

import { json, ask, refusal, VOICE } from "./api.js";
import { byId, element } from "./element.js";
import { repeat } from "./live.js";

const EVERY_SECONDS = 10;
const WORK = /\/(transcribe|speak|transcriptions|translations|speech|jobs|voice)\b/; // else somebody only looked
const ERRORS_SHOWN = 3;
const JOBS_SHOWN = 5;
const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];

export function watchCondition(tell) {
  repeat(
    async () => tell(await lookAtHealth()),
    () => EVERY_SECONDS,
  );
  repeat(lookAtRequests, () => EVERY_SECONDS);
}

async function lookAtHealth() {
  const response = await ask("health");
  if (!response.ok && response.status !== 503) throw await refusal(response); // 503: nothing works, and why
  const report = await response.json();
  byId("status").textContent = report.status;
  byId("status").dataset.status = report.status;
  byId("version").textContent = report.version;
  const rows = Object.entries(report.checks).flatMap(([name, check]) =>
    entry(name, check.status, check.reason || check.detail || "ok"),
  );
  byId("checks").replaceChildren(...rows, ...entry("running for", "", since(report.uptime_seconds)));
  return report;
}

function entry(name, status, says) {
  const term = element("dt", { textContent: name });
  if (status)
    term.prepend(
      element("span", { className: "light", ariaHidden: "true" }),
      element("span", { className: "unseen", textContent: `${status}: ` }),
    );
  term.dataset.status = status;
  return [term, element("dd", { textContent: says })];
}

function since(seconds) {
  const [value, unit] = [
    [86400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ]
    .map(([each, name]) => [Math.floor(seconds / each), name])
    .find(([count]) => count > 0) ?? [0, "second"];
  return `${value} ${unit}${value === 1 ? "" : "s"}`;
}

async function lookAtRequests() {
  let performance, production;
  try {
    performance = await json("api/monitoring/performance");
    production = await json("api/monitoring/production");
  } catch (error) {
    if (error.status !== 404) throw error;
    byId("requests").replaceChildren(note("Off: MONITORING=false."));
    return lookAtJobs();
  }
  showRequests(performance, production);
  if (production.jobs === null) byId("jobs").replaceChildren(note("The store of the jobs does not answer."));
  // Where there never was a job, asking for them would have the worker carry what keeps them, 1.2 MB.
  else if (STATES.some((state) => production.jobs[state] > 0)) await lookAtJobs();
  else byId("jobs").replaceChildren(note("No jobs."));
}

const note = (textContent) => element("p", { className: "note", textContent });

function showRequests(performance, production) {
  const recent = performance.routes.filter((route) => route.count > 0);
  const work = recent.filter((route) => route.method === "POST" && WORK.test(route.route));
  const looks = recent.filter((route) => !work.includes(route)).reduce((sum, route) => sum + route.count, 0);
  const rows = [...work.map((route) => [route.route, route.count, route.p95_seconds]), ["status requests", looks, null]];
  const { errors, alerts } = production;
  byId("requests").replaceChildren(
    table(
      ["Route", "Count", "p95"],
      rows.map(([route, count, p95]) => [
        route.replace("/api/v1/pam/voice/", "…/"),
        count,
        p95 === null ? "" : `${p95.toPrecision(2)} s`,
      ]),
    ),
    element("p", {
      className: errors.count_5m ? "bad" : "note",
      textContent: `${errors.count_5m || "No"} request${errors.count_5m > 1 ? "s" : ""} failed (5xx).`,
    }),
    ...alerts
      .filter((alert) => alert.active)
      .map((alert) =>
        element("p", {
          className: "bad",
          textContent: `Alert: ${alert.name.replaceAll("_", " ")} ${alert.value} (limit ${alert.threshold})`,
        }),
      ),
    ...errors.recent
      .slice(0, ERRORS_SHOWN)
      .map((one) => note(`${one.time.slice(11, 19)} ${one.status} ${one.type} ${one.route}`)),
  );
}

function table(heads, rows) {
  const head = element("tr", {}, ...heads.map((name) => element("th", { scope: "col", textContent: name })));
  const body = rows.map(([first, ...others]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", textContent: first }),
      ...others.map((text) => element("td", { textContent: text })),
    ),
  );
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

// The seats of the engines, from GET /api/memory.
export function showSeats({ budget, service }) {
  const one = service.processes.filter((process) => process.role === "web").length > 1 ? " of this worker" : "";
  byId("engines").replaceChildren(
    table(
      [`Engine${one}`, "State", "Seats in use"],
      budget.engines.map((engine) => [engine.name, engine.state, `${engine.seats_taken} of ${engine.seats}`]),
    ),
  );
}

async function lookAtJobs() {
  const { jobs } = await json(`${VOICE}/jobs?limit=${JOBS_SHOWN}`);
  byId("jobs").replaceChildren(
    jobs.length
      ? table(
          ["Job", "State", "Progress"],
          jobs.map((job) => [job.kind, job.error ? `${job.state}: ${job.error.message}` : job.state, howFar(job)]),
        )
      : note("No jobs."),
  );
}

const howFar = (job) =>
  job.state === "queued" ? `${job.position} ahead of it` : `${Math.round(job.progress.seconds_done)} s`;
