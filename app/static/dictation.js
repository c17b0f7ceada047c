// What is said becomes text while it is said: the microphone's samples go out over a WebSocket, turns come back.

import { hasKey, json, VOICE } from "./api.js";

const RATE = 16_000; // what the models hear
const MOST_WAITING = 600; // pieces of 50 ms: half a minute, in which an engine starts on a busy machine
const MOST_BYTES = 2_000_000; // that a slow connection may owe
const END_SECONDS = 30; // that the last words may take

// Send *stream*; *show* is given a turn whenever it has grown: { text, final, start, end }. `over` is, and after
// `end()` soon, whether all that was said was heard. Who is told false has the recording.
export function dictate(stream, { language = "" }, show) {
  const waiting = [];
  let context, socket, said;
  let ending = false;

  function send() {
    if (socket?.readyState !== WebSocket.OPEN) return waiting.length > MOST_WAITING && fail();
    if (socket.bufferedAmount > MOST_BYTES) return fail();
    for (const piece of waiting.splice(0)) socket.send(piece);
    if (ending) socket.send('{"type": "end"}');
  }

  function quiet() {
    if (context && context.state !== "closed") context.close();
  }

  function fail() {
    quiet();
    socket?.close();
    said(false);
  }

  const over = new Promise((resolve) => (said = resolve));
  (async () => {
    const { own, source } = microphone(stream);
    context = own;
    await own.audioWorklet.addModule("static/samples.js");
    const samples = new AudioWorkletNode(own, "samples", { channelCount: 1, channelCountMode: "explicit" });
    samples.port.onmessage = ({ data }) => ending || send(waiting.push(data));
    source.connect(samples).connect(own.destination); // silent; without it no browser need ask for samples
    const asked = new URLSearchParams({ rate: own.sampleRate, ...(language && { language }) });
    const { href } = new URL(`${VOICE}/live?${asked}`, document.baseURI);
    socket = new WebSocket(href.replace(/^http/, "ws"), await protocols());
    socket.onopen = send;
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.error) fail();
      else show(event);
    };
    socket.onclose = ({ code }) => (ending && code === 1000 ? said(true) : fail());
  })().catch(fail);
  return {
    over,
    end() {
      ending = true;
      quiet();
      setTimeout(fail, 1000 * END_SECONDS);
      send();
      return over;
    },
  };
}

// At the rate of the models, or where a browser can't have a microphone at another rate than its own, at that.
function microphone(stream) {
  let own = new AudioContext({ sampleRate: RATE });
  try {
    return { own, source: own.createMediaStreamSource(stream) };
  } catch {
    own.close();
    own = new AudioContext();
    return { own, source: own.createMediaStreamSource(stream) };
  }
}

// A page can't send a key with a WebSocket but among its protocols, and a key need not be spelled as one: a secret is.
async function protocols() {
  if (!hasKey()) return [];
  const headers = { "Content-Type": "application/json" };
  const { value } = await json("v1/realtime/client_secrets", { method: "POST", headers, body: "{}" });
  return ["realtime", `openai-insecure-api-key.${value}`];
}
