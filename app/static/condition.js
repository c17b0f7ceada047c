// How the service is: its checks, its requests, its queue.

import { byId, element } from "./element.js";

const WORK = /\/(transcribe|speak|transcriptions|translations|speech|jobs|voice)\b/; // else somebody only looked
const ERRORS_SHOWN = 3;

// What GET /api/status says of everything but memory; of requests and jobs only in some answers.
export function showCondition({ health, memory, performance, production, jobs }) {
  showHealth(health);
  showSeats(memory);
  if (production === undefined) return;
  if (production === null) byId("requests").replaceChildren(note("Off: MONITORING=false."));
  else showRequests(performance, production);
  showJobs(jobs);
}

export function showHealth(report) {
  byId("status").textContent = report.status;
  byId("status").dataset.status = report.status;
  byId("version").textContent = report.version;
  const rows = Object.entries(report.checks).flatMap(([name, check]) =>
    entry(name, check.status, check.reason || check.detail || "ok"),
  );
  byId("checks").replaceChildren(...rows, ...entry("running for", "", since(report.uptime_seconds)));
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

function showSeats({ budget, service }) {
  const one = service.processes.filter((process) => process.role === "web").length > 1 ? " of this worker" : "";
  byId("engines").replaceChildren(
    table(
      [`Engine${one}`, "State", "Seats in use", "Model"],
      budget.engines.map((engine) => [engine.name, engine.state, `${engine.seats_taken} of ${engine.seats}`, engine.model]),
    ),
  );
}

function showJobs(jobs) {
  byId("jobs").replaceChildren(
    jobs === null
      ? note("What keeps the jobs does not answer; Health says why.")
      : jobs.length
        ? table(
            ["Job", "State", "Progress"],
            jobs.map((job) => [job.kind, job.error ? `${job.state}: ${job.error.message}` : job.state, howFar(job)]),
          )
        : note("No jobs."),
  );
}

const howFar = (job) =>
  job.state === "queued" ? `${job.position} ahead of it` : `${Math.round(job.progress.seconds_done)} s`;
