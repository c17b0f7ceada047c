// Requests to the service this page came from, with the key where it asks for one.

import { byId } from "./element.js";

export const VOICE = "api/v1/pam/voice";
const ANSWER_SECONDS = 20; // that a look may take
const KEPT = "pam-voice-key"; // in sessionStorage: forgotten when the tab is closed

// The service said no; the message is its own, which says what to do.
export class Refused extends Error {
  constructor(message, { status = 0, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

export const hasKey = () => sessionStorage.getItem(KEPT) !== null;

let turn = Promise.resolve();
let given = null; // the form's promise while it is shown: everybody waits for the same key

// A response, whatever its status but 401: then a key is asked for, and the request is sent once more with it.
export async function ask(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem(KEPT);
    const headers = { Accept: "application/json", ...options.headers };
    if (key !== null) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await (options.method ? fetch : look)(path, { ...options, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused("The service does not answer. Is it running, and is this machine online?");
    }
    if (response.status !== 401) return response;
    if (key === sessionStorage.getItem(KEPT)) await (given ??= keyFromForm(key !== null));
  }
}

// Looks at the service go one after the other: eight at once have it hold eight answers in the making, 1.6 MB.
function look(path, options) {
  const mine = turn.then(() => fetch(path, { signal: AbortSignal.timeout(1000 * ANSWER_SECONDS), ...options }));
  turn = mine.catch(() => {}); // whose trouble is nobody else's
  return mine;
}

// What a response that is no success says.
export async function refusal(response) {
  const body = await response.json().catch(() => null);
  const message = body?.error?.message ?? `The service answered ${response.status} ${response.statusText}`;
  return new Refused(message, {
    status: response.status,
    retryAfter: Number(response.headers.get("Retry-After")) || 0,
  });
}

export async function json(path, options) {
  const response = await ask(path, options);
  if (!response.ok) throw await refusal(response);
  return response.json();
}

function keyFromForm(wrong) {
  const form = byId("key");
  const text = byId("key-text");
  forgetKey();
  form.hidden = false;
  document.dispatchEvent(new Event("key-needed"));
  if (wrong) byId("key-says").textContent = "That key was not accepted. Enter another one.";
  text.setAttribute("aria-invalid", String(wrong));
  text.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEPT, text.value.replace(/[^!-~]/g, "")); // a key has only what an HTTP header can carry
      text.value = "";
      form.hidden = true;
      byId("forget").hidden = false;
      given = null;
      resolve();
    };
  });
}

export function forgetKey() {
  sessionStorage.removeItem(KEPT);
  byId("forget").hidden = true;
}
