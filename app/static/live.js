// What is done again and again while somebody looks.

import { byId } from "./element.js";

const troubled = new Map(); // who could not be asked, and why

// Do *work* now and then every *seconds()*, never while the tab is hidden; at once when it is seen again, or when the
// function that is returned is called.
export function repeat(work, seconds) {
  let timer = 0;
  let working = false;
  async function step() {
    clearTimeout(timer);
    if (document.hidden || working) return;
    working = true;
    let wait = seconds();
    try {
      await work();
      wait = seconds();
      troubled.delete(work);
    } catch (error) {
      troubled.set(work, error.message);
      wait = Math.max(wait, error.retryAfter ?? 0, 3);
    }
    working = false;
    tell();
    if (!document.hidden) timer = setTimeout(step, wait * 1000);
  }
  document.addEventListener("visibilitychange", step);
  step();
  return step;
}

function tell() {
  const place = byId("trouble");
  const [why = ""] = troubled.values();
  if (place.textContent !== why) place.textContent = why; // said once by a screen reader, not every time
  place.hidden = !why;
}
