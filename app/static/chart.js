// Memory over time: areas by role on top of each other, the budget, and when engines came and went.

export const ROLES = ["master", "web", "whisper", "speech"];
const HOLD_SECONDS = 15; // between samples further apart than that nothing happened: the engines' exits are sampled
const LEFT = 46,
  RIGHT = 10,
  TOP = 18,
  BOTTOM = 24; // for the labels, in pixels
const SVG = "http://www.w3.org/2000/svg";

// *samples* with steps where slopes would tell of what was not there.
export function held(samples) {
  return samples.flatMap((one, index) => {
    const next = samples[index + 1];
    return next && next.time - one.time > HOLD_SECONDS ? [one, { ...one, time: next.time - 0.1 }] : [one];
  });
}

// When engines started and exited: { time, role, kind, mb }.
export function marks(samples) {
  const found = [];
  const since = {};
  for (const [index, { time, pss }] of samples.entries()) {
    for (const role of ["whisper", "speech"]) {
      const before = index > 0 ? (samples[index - 1].pss[role] ?? 0) : (pss[role] ?? 0);
      const now = pss[role] ?? 0;
      if (now && !before) since[role] = time;
      if (!now !== !before)
        found.push({ time, role, kind: now ? "start" : "exit", mb: before, lasted: time - since[role] });
    }
  }
  return found;
}

const SMALL_BUDGET_MB = 1024; // a dyno's; how far away it stays is what the chart is for

// The top of the scale, and whether the budget is on it: one far above would press everything to the ground.
export function scale(largest, budget) {
  const wanted = Math.max(largest * 1.12, 60);
  const inside = budget > 0 && budget <= Math.max(SMALL_BUDGET_MB, wanted * 3);
  const top = inside ? Math.max(budget * 1.06, wanted) : wanted;
  const rough = top / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  return { top, inside, ticks: Array.from({ length: Math.floor(top / step) + 1 }, (_, index) => index * step) };
}

export const total = (pss) => ROLES.reduce((sum, role) => sum + (pss[role] ?? 0), 0);

// Draw *samples* of the time *from* to *to* (Unix time) into *svg*; the budget is in MB, *pointed* the time pointed at.
export function draw(svg, samples, { from, to, budget, pointed }) {
  const { width, height } = svg.getBoundingClientRect();
  const points = held(samples);
  const { top, inside, ticks } = scale(Math.max(0, ...samples.map((one) => total(one.pss))), budget);
  const x = (time) => LEFT + ((Math.max(from, time) - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (mb) => height - BOTTOM - (mb / top) * (height - TOP - BOTTOM);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren(
    ...ticks.flatMap((mb) => [
      node("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(mb), y2: y(mb) }),
      node("text", { class: "tick", x: LEFT - 7, y: y(mb) + 4, "text-anchor": "end" }, mb),
    ]),
    ...times(from, to, width).map((time) =>
      node(
        "text",
        { class: "tick", x: x(time), y: height - 6, "text-anchor": "middle" },
        time % 60 ? second(time) : hour(time),
      ),
    ),
    ...areas(points, x, y),
    ...marks(samples).flatMap((mark) => marked(mark, x(mark.time), y(0), TOP)),
    ...(pointed ? [node("line", { class: "pointed", x1: x(pointed), x2: x(pointed), y1: TOP, y2: y(0) })] : []),
    ...(budget > 0
      ? budgetLine(inside ? y(budget) : TOP - 6, width, `budget ${Math.round(budget)} MB${inside ? "" : " ↑"}`, inside)
      : []),
  );
}

// The time at *pixels* from the left edge of what `draw` drew.
export function timeAt(svg, pixels, { from, to }) {
  const share = (pixels - LEFT) / (svg.getBoundingClientRect().width - LEFT - RIGHT);
  return from + Math.min(1, Math.max(0, share)) * (to - from);
}

function areas(points, x, y) {
  const below = points.map(() => 0);
  return ROLES.map((role) => {
    const lower = points.map((one, index) => `${x(one.time).toFixed(1)},${y(below[index]).toFixed(1)}`);
    const upper = points.map((one, index) => {
      below[index] += one.pss[role] ?? 0;
      return `${x(one.time).toFixed(1)},${y(below[index]).toFixed(1)}`;
    });
    return node("polygon", { class: `area ${role}`, points: [...upper, ...lower.reverse()].join(" ") });
  });
}

function marked({ role, kind }, at, bottom, top) {
  const triangle =
    kind === "start"
      ? `${at - 5},${bottom + 8} ${at + 5},${bottom + 8} ${at},${bottom}`
      : `${at - 5},${bottom} ${at + 5},${bottom} ${at},${bottom + 8}`;
  return [
    node("line", { class: `mark ${role}`, x1: at, x2: at, y1: top, y2: bottom }),
    node("polygon", { class: `mark ${role} ${kind}`, points: triangle }),
  ];
}

function budgetLine(at, width, says, inside) {
  const line = node("line", { class: "budget", x1: LEFT, x2: width - RIGHT, y1: at, y2: at });
  const words = node(
    "text",
    { class: "budget", x: width - RIGHT, y: inside ? at - 5 : at + 13, "text-anchor": "end" },
    says,
  );
  return [line, words];
}

function times(from, to, width) {
  const step = [10, 30, 60, 120, 300, 600, 900, 1800].find((seconds) => ((to - from) / seconds) * 76 < width) ?? 3600;
  const first = Math.ceil((from + step / 8) / step) * step;
  return Array.from({ length: Math.ceil((to - step / 8 - first) / step) }, (_, index) => first + index * step);
}

export const second = (time) => new Date(time * 1000).toTimeString().slice(0, 8);
export const hour = (time) => second(time).slice(0, 5);

function node(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
