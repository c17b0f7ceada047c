// A recording becomes text while somebody watches: one from the microphone while it is made, where that is possible.

import { ask, refusal, Refused, VOICE } from "./api.js";
import { dictate } from "./dictation.js";
import { byId, clock, element, say, size } from "./element.js";
import { events } from "./events.js";
import { meanwhile } from "./memory.js";
import { record } from "./recorder.js";
import * as snippets from "./snippets.js";
import { FORMATS } from "./subtitles.js";

const player = byId("recording");
let recording = null; // while the microphone is open
let dictation = null; // what is heard of it meanwhile
let work = null; // what stops the transcription that goes on
let segments = [];
let name = "";

export function begin() {
  byId("record").onclick = () => (recording ? stopRecording() : startRecording()).catch(tellError);
  byId("file").onchange = (event) => {
    const [file] = event.target.files;
    if (file) meanwhile(transcribe(file, file.name)).catch(tellError);
    event.target.value = ""; // the same file may be chosen again
  };
  byId("listen-stop").onclick = () => work?.abort();
  byId("downloads").onclick = (event) => event.target.dataset.format && download(event.target.dataset.format);
  byId("copy-text").onclick = (event) => snippets.copy(FORMATS.txt.write(segments), event.target);
  player.ontimeupdate = follow;
  acceptDrops(byId("drop"));
}

// Models for English only are asked for nothing else.
export function speaksOnlyEnglish(models) {
  const only = models.length > 0 && models.every((model) => model.endsWith(".en"));
  byId("language").disabled = byId("task").disabled = only;
  byId("language-note").hidden = !only;
  byId("language-note").textContent = only
    ? `${models.join(", ")} understands English only; with base in WHISPER_MODEL 99 languages are understood.`
    : "";
}

function acceptDrops(place) {
  const over = (event) => {
    event.preventDefault();
    place.classList.toggle("over", event.type === "dragover");
  };
  document.ondragover = document.ondragleave = over; // beside the place, too: else the browser opens the file
  document.ondrop = (event) => {
    over(event);
    const [file] = event.dataTransfer.files;
    if (file) meanwhile(transcribe(file, file.name)).catch(tellError);
  };
}

async function startRecording() {
  say(byId("listen-says"), "");
  warm();
  recording = record((level, seconds) => {
    byId("level").value = level;
    byId("record-says").textContent = `Stop, ${clock(seconds)}`;
  });
  byId("record").classList.add("on");
  try {
    await recording;
  } catch (error) {
    showIdle();
    throw error;
  }
  byId("level").hidden = false;
  byId("record-says").textContent = "Stop";
  const fields = chosen();
  if (fields.task) return; // translated is what was said to its end
  begun("");
  say(byId("listen-says"), "Listening");
  const own = (dictation = dictate((await recording).stream, fields, (turn) => own === dictation && showTurn(turn)));
  const heard = await meanwhile(own.over);
  if (!heard && recording && own === dictation) say(byId("listen-says"), "The text comes when you stop.");
}

// The engine starts while somebody speaks; who can't have it started waits at the end, as before.
function warm() {
  const body = JSON.stringify(chosen());
  ask(`${VOICE}/warm`, { method: "POST", headers: { "Content-Type": "application/json" }, body }).catch(() => {});
}

async function stopRecording() {
  const { blob, name: called, seconds } = await (await recording).stop();
  const [own, fields] = [dictation, chosen()];
  showIdle();
  say(byId("listen-says"), "Finishing");
  const heard = await own?.end();
  if (own !== dictation) return; // another recording has the place
  if (!heard) return meanwhile(transcribe(blob, called, seconds));
  name = called;
  load(blob);
  const [long, language] = [clock(seconds), segments.at(-1)?.language];
  say(byId("listen-says"), language ? `${long} of speech (${language}), written while you spoke` : `No speech in ${long}.`);
  offer(fields);
}

function showIdle() {
  recording = null;
  byId("record").classList.remove("on");
  byId("record-says").textContent = "Record";
  byId("level").hidden = true;
}

async function transcribe(blob, called, seconds = NaN) {
  begun(called);
  const own = (work = new AbortController());
  const began = performance.now();
  const fields = chosen();
  load(blob);
  say(byId("listen-says"), `Sending ${called}, ${size(blob.size)}`);
  byId("listen-work").hidden = false;
  byId("listen-progress").removeAttribute("value");
  try {
    for await (const event of asked(blob, fields, own.signal)) {
      if (event.type === "segment") add(event, Number.isFinite(player.duration) ? player.duration : seconds);
      else finish(event, performance.now() - began);
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    if (own === work) say(byId("listen-says"), "Stopped.");
  } finally {
    if (own === work) byId("listen-work").hidden = true;
  }
  if (own !== work) return; // another recording has the place
  offer(fields);
}

// The place is another recording's now.
function begun(called) {
  work?.abort();
  dictation?.end();
  work = dictation = null;
  name = called;
  segments = [];
  byId("segments").replaceChildren();
  byId("listen-work").hidden = true;
  byId("downloads").hidden = byId("listen-snippets").hidden = true;
}

function offer(fields) {
  snippets.show(byId("listen-snippets"), snippets.transcription(name, fields));
  byId("downloads").hidden = segments.length === 0;
}

const chosen = () =>
  Object.fromEntries(
    ["language", "task"].map((id) => [id, byId(id).disabled ? "" : byId(id).value]).filter(([, value]) => value),
  );

async function* asked(blob, fields, signal) {
  const form = new FormData();
  for (const [key, value] of Object.entries({ stream: "true", ...fields })) form.append(key, value);
  form.append("audio", blob, name);
  const response = await ask(`${VOICE}/transcribe`, { method: "POST", body: form, signal });
  if (!response.ok) throw await refusal(response);
  say(byId("listen-says"), "Transcribing");
  for await (const event of events(response.body)) {
    if (event.type === "error") throw new Refused(event.error.message);
    yield event;
  }
}

function load(blob) {
  URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(blob);
  player.hidden = false;
}

// A turn of what is being said; it takes the place of what was known of it before.
function showTurn(turn) {
  if (segments.at(-1)?.final === false) {
    segments.pop();
    byId("segments").lastChild.remove();
  }
  if (!turn.text) return;
  add(turn);
  const list = byId("segments");
  list.lastChild.ariaBusy = String(!turn.final); // to be read aloud when it stands
  list.scrollTop = list.scrollHeight;
}

function add(segment, seconds) {
  segments.push(segment);
  const button = element(
    "button",
    { type: "button", onclick: () => playFrom(segment.start) },
    element("time", { textContent: clock(segment.start) }),
    ` ${segment.text}`,
  );
  byId("segments").append(element("li", {}, button));
  if (Number.isFinite(seconds)) byId("listen-progress").value = Math.min(1, segment.end / seconds);
}

function finish({ text, language, duration }, milliseconds) {
  const took = (milliseconds / 1000).toFixed(1);
  say(
    byId("listen-says"),
    text ? `${clock(duration)} of speech (${language}) in ${took} s` : `No speech in ${clock(duration)}.`,
  );
}

function playFrom(seconds) {
  player.currentTime = seconds;
  player.play().catch(() => say(byId("listen-says"), "This browser can't play that recording.", "error"));
}

function follow() {
  const at = segments.findLastIndex((segment) => segment.start <= player.currentTime + 0.05);
  byId("segments").querySelector("[aria-current]")?.removeAttribute("aria-current");
  if (!player.paused) byId("segments").children[at]?.firstChild.setAttribute("aria-current", "true");
}

function download(format) {
  const { type, write } = FORMATS[format];
  const href = URL.createObjectURL(new Blob([write(segments)], { type }));
  element("a", { href, download: `${name.replace(/\.\w+$/, "")}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000); // the browser has read it by then
}

function tellError(error) {
  say(byId("listen-says"), error.message, "error");
}
