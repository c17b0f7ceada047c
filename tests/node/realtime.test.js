// OpenAI's client for Node hears words while they are spoken; it asks for wss:, so there is TLS in front of $BASE_URL.

import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import tls from "node:tls";
import { test } from "node:test";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const { BASE_URL, CERTIFICATE, SAID } = process.env;
const pem = fs.readFileSync(CERTIFICATE);

test("words come while they are spoken, and are the text", async () => {
  const front = tls.createServer({ key: pem, cert: pem }, (client) => {
    const service = net.connect(new URL(BASE_URL).port, "127.0.0.1");
    client.pipe(service).pipe(client);
    client.on("error", () => service.destroy());
  });
  await new Promise((resolve) => front.listen(0, "127.0.0.1", resolve));
  const client = new OpenAI({ baseURL: `https://127.0.0.1:${front.address().port}/v1`, apiKey: "anything" });
  const live = new OpenAIRealtimeWS({ model: "gpt-4o-transcribe" }, client);
  try {
    const { deltas, transcript } = await new Promise((resolve, reject) => {
      let deltas = "";
      live.on("error", reject);
      live.on("session.created", () =>
        live.send({
          type: "session.update",
          session: { type: "transcription", audio: { input: { turn_detection: { type: "server_vad" } } } },
        }),
      );
      live.on("session.updated", () => {
        const said = fs.readFileSync(SAID);
        for (let start = 0; start < said.length; start += 9600)
          live.send({
            type: "input_audio_buffer.append",
            audio: said.subarray(start, start + 9600).toString("base64"),
          });
      });
      live.on("conversation.item.input_audio_transcription.delta", (event) => (deltas += event.delta));
      live.on("conversation.item.input_audio_transcription.completed", ({ transcript }) =>
        resolve({ deltas, transcript }),
      );
    });
    assert.equal(deltas, transcript);
    assert.match(transcript, /might|amiable|himself/i);
  } finally {
    live.close();
    front.close();
  }
});
