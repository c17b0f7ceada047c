// A text becomes speech.

import { ask, json, refusal, VOICE } from "./api.js";
import { byId, element, say, size } from "./element.js";
import { meanwhile } from "./memory.js";
import * as snippets from "./snippets.js";

const player = byId("spoken");
const QUALITIES = ["natural", "parametric", "robotic"]; // best first
const labels = {}; // of the synthesizers, once they are listed
let work = null; // what stops the request that goes on
let listed = null;

export function begin() {
  byId("speed").oninput = (event) => (byId("speed-says").textContent = `${Number(event.target.value).toFixed(2)} ×`);
  byId("speak").addEventListener("focusin", () => (listed ??= listVoices()));
  byId("speak").addEventListener("pointerenter", () => (listed ??= listVoices())); // so that they are there at the click
  byId("speak").onsubmit = (event) => {
    event.preventDefault();
    begun(chosen());
  };
  byId("voices").ontoggle = () => (listed ??= listVoices());
  player.onerror = () => say(byId("speak-says"), "This browser can't play that format; it can be downloaded.", "error");
}

// Hundreds of voices, that most visitors never look at: asked for when somebody comes near.
async function listVoices() {
  try {
    const { voices, engines, formats } = await json(`${VOICE}/voices`);
    for (const [name, type] of Object.entries(formats))
      // Its first is in the page; samples without a header no browser plays.
      if (name !== byId("format").value && type !== "audio/pcm") byId("format").append(element("option", { textContent: name }));
    // The best first, and of equals those that keep the texts on the server.
    const rank = (voice) => 2 * QUALITIES.indexOf(voice.quality) + !voice.offline;
    for (const engine of new Set([...voices].sort((one, other) => rank(one) - rank(other)).map((voice) => voice.engine))) {
      const own = voices.filter((voice) => voice.engine === engine);
      labels[engine] = `${engines[engine].label} (${own[0].offline ? "offline" : "online"})`;
      const options = own.map((voice) =>
        element("option", { value: voice.id, textContent: `${voice.name} · ${voice.language}` }),
      );
      byId("voice").append(element("optgroup", { label: labels[engine] }, ...options));
    }
    byId("voices").append(...byLanguage(voices));
  } catch (error) {
    listed = null; // tried again when somebody comes near again
    say(byId("speak-says"), error.message, "error");
  }
}

// A button for each voice, under its language: it says the language's own name for itself.
function byLanguage(voices) {
  const languages = new Map();
  for (const voice of voices) {
    const tag = voice.language.split("-")[0];
    const name = called(tag, "en");
    const says = () => begun({ text: called(tag, tag), voice: voice.id, format: byId("format").value });
    const textContent = `▶ ${voice.name} · ${voice.engine}, ${voice.quality}`;
    const button = element("button", { type: "button", className: "quiet", textContent, onclick: says });
    languages.set(name, [...(languages.get(name) ?? []), button]);
  }
  return [...languages].sort(([one], [other]) => one.localeCompare(other)).map(([name, buttons]) => {
    const summary = element("summary", { textContent: `${name} (${buttons.length})` });
    return element("details", {}, summary, ...buttons);
  });
}

function called(tag, locale) {
  try {
    return new Intl.DisplayNames([locale], { type: "language" }).of(tag);
  } catch {
    return tag; // one that no browser knows: Klingon
  }
}

function begun(fields) {
  meanwhile(speak(fields)).catch(
    (error) => error.name !== "AbortError" && say(byId("speak-says"), error.message, "error"),
  );
}

async function speak(fields) {
  work?.abort();
  const own = (work = new AbortController());
  const began = performance.now();
  byId("speak-button").setAttribute("aria-busy", "true");
  say(byId("speak-says"), "Speaking");
  try {
    const response = await ask(`${VOICE}/speak`, {
      method: "POST",
      headers: { "Content-Type": "application/json", Accept: "*/*" },
      body: JSON.stringify(fields),
      signal: own.signal,
    });
    if (!response.ok) throw await refusal(response);
    const audio = await response.blob();
    const took = performance.now() - began;
    play(audio, fields.format);
    await listed; // they have the synthesizer's label
    tell(response.headers, audio, took);
  } finally {
    if (own === work) byId("speak-button").removeAttribute("aria-busy");
  }
  snippets.show(byId("speak-snippets"), snippets.speech(fields));
}

function chosen() {
  const [voice, speed] = [byId("voice").value, Number(byId("speed").value)];
  return {
    text: byId("text").value,
    ...(voice && { voice }),
    format: byId("format").value,
    ...(speed !== 1 && { speed }),
  };
}

function play(audio, format) {
  URL.revokeObjectURL(player.src);
  player.src = byId("spoken-link").href = URL.createObjectURL(audio);
  byId("spoken-link").download = `speech.${format}`;
  player.hidden = byId("spoken-download").hidden = false;
  player.play().catch(() => {}); // not allowed, or not playable: `onerror` and the controls tell
}

function tell(headers, audio, milliseconds) {
  const engine = headers.get("X-TTS-Engine");
  const kept = headers.get("X-Cache") === "hit" ? ", from the cache" : "";
  const others = headers.get("X-TTS-Fallback") ? ` Could not speak it: ${headers.get("X-TTS-Fallback")}` : "";
  say(
    byId("speak-says"),
    `${labels[engine] ?? engine}, ${headers.get("X-TTS-Voice")}: ${size(audio.size)} in ${(milliseconds / 1000).toFixed(2)} s${kept}.${others}`,
  );
}
