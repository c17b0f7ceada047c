// OpenAI's client for Node against the server at $BASE_URL, with the recording $RECORDING.

import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import OpenAI, { toFile } from "openai";

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "anything", maxRetries: 0 });
const spoken = /might|amiable|himself/i; // a word of it: which ones are right differs between processors

function transcribe(asked = {}) {
  return client.audio.transcriptions.create({
    model: "whisper-1",
    file: fs.createReadStream(process.env.RECORDING),
    ...asked,
  });
}

test("a file stream is transcribed", async () => {
  assert.match((await transcribe()).text, spoken);
});

test("bytes under a wrong name are transcribed", async () => {
  const file = await toFile(fs.readFileSync(process.env.RECORDING), "audio.mp3");
  assert.match((await transcribe({ file, model: "gpt-4o-transcribe" })).text, spoken);
});

test("every format comes as it is", async () => {
  const verbose = await transcribe({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });
  assert.equal(verbose.language, "english");
  assert.ok(verbose.words[0].word);
  assert.ok(verbose.text.startsWith(verbose.words[0].word));
  assert.equal(Object.keys(verbose.segments[0]).length, 10);
  assert.match(await transcribe({ response_format: "text" }), spoken);
  assert.match(await transcribe({ response_format: "srt" }), /^1\n00:00:00,\d{3} --> /);
  assert.match(await transcribe({ response_format: "vtt" }), /^WEBVTT\n\n00:00:00\.\d{3} --> /);
});

test("a stream of events ends with the text", async () => {
  let text = "";
  let done;
  for await (const event of await transcribe({ stream: true })) {
    if (event.type === "transcript.text.delta") text += event.delta;
    else done = event;
  }
  assert.equal(done.type, "transcript.text.done");
  assert.equal(done.text, text);
  assert.match(text, spoken);
});

test("speech comes in the format asked for", async () => {
  for (const [format, type, start] of [
    ["mp3", "audio/mpeg", /^(ID3|\xff)/],
    ["opus", "audio/ogg", /^OggS/],
    ["flac", "audio/flac", /^fLaC/],
    ["wav", "audio/wav", /^RIFF/],
    ["aac", "audio/aac", /^\xff/],
    ["pcm", "audio/pcm", /^\0\0/],
  ]) {
    const answer = await client.audio.speech.create({
      model: "tts-1",
      voice: "alloy",
      input: "Hello there.",
      response_format: format,
    });
    assert.equal(answer.headers.get("content-type"), type);
    const audio = Buffer.from(await answer.arrayBuffer());
    assert.ok(audio.length > 1000);
    assert.match(audio.subarray(0, 8).toString("latin1"), start);
  }
});

test("errors are the client's own", async () => {
  await assert.rejects(transcribe({ language: "klingon" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "language");
    assert.ok(error.requestID);
    return true;
  });
  await assert.rejects(transcribe({ model: "whisper-9" }), OpenAI.NotFoundError);
  await assert.rejects(transcribe({ file: await toFile(Buffer.from("not audio"), "a.wav") }), OpenAI.BadRequestError);
  await assert.rejects(
    client.audio.speech.create({ model: "tts-1", voice: "nobody", input: "Hello." }),
    OpenAI.BadRequestError,
  );
});

test("models are listed", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("whisper-1"));
  assert.equal((await client.models.retrieve("tts-1")).id, "tts-1");
});

test("twelve at once are all answered, some after the client tried again", async () => {
  const patient = client.withOptions({ maxRetries: 2 });
  // Bytes, because this client does not send the stream of a file twice.
  const bytes = fs.readFileSync(process.env.RECORDING);
  const answers = await Promise.all(
    Array.from({ length: 12 }, async () =>
      patient.audio.transcriptions.create({ model: "whisper-1", file: await toFile(bytes, "recording.flac") }),
    ),
  );
  for (const answer of answers) assert.match(answer.text, spoken);
});
