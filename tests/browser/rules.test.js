// A browser's own rules: pages of $ALLOWED may call the service at $BASE_URL, those of $OTHER may not, and neither may
// frame its page, in which nothing runs that was put into it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { becomes, launch, visit } from "./browser.js";

const { BASE_URL, ALLOWED, OTHER, API_KEY } = process.env;
const SPEAK = `${BASE_URL}/api/v1/pam/voice/speak`;
let browser, allowed, other, own;

before(async () => {
  browser = await launch();
  allowed = (await visit(browser, ALLOWED)).page;
  other = (await visit(browser, OTHER)).page;
  own = (await visit(browser, `${BASE_URL}/docs`)).page;
});
after(() => browser.close());

// What a page gets to know of a request: the status and some headers, or that there was an error.
async function asks(page, url, { headers = {}, method = "GET", body } = {}) {
  return page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        const text = (await answer.text()).slice(0, 200);
        return { status: answer.status, text, headers: Object.fromEntries(answer.headers) };
      } catch (error) {
        return { error: error.name };
      }
    },
    [url, { method, headers, body }],
  );
}

const speaking = {
  method: "POST",
  headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json", "Idempotency-Key": "a", Prefer: "wait" },
  body: JSON.stringify({ text: "Hello.", format: "wav" }),
};

test("a page of an allowed origin may speak, and read who spoke", async () => {
  const answer = await asks(allowed, SPEAK, speaking);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["x-tts-engine"], "espeak");
  assert.ok(answer.headers["x-request-id"]);
});

test("it sees why it is refused", async () => {
  const { Authorization, ...headers } = speaking.headers;
  const answer = await asks(allowed, SPEAK, { ...speaking, headers });
  assert.equal(answer.status, 401);
  assert.match(answer.text, /invalid_api_key/);
  const mistaken = await asks(allowed, SPEAK, { ...speaking, body: "{}" });
  assert.equal(mistaken.status, 400);
});

test("OpenAI's client works in it, with every header it sends", async () => {
  const said = await allowed.evaluate(
    async ([baseURL, apiKey]) => {
      const { OpenAI } = await import("/openai/index.mjs");
      const client = new OpenAI({ baseURL, apiKey, dangerouslyAllowBrowser: true, maxRetries: 0 });
      const models = await client.models.list();
      const input = "The meeting starts at ten o'clock tomorrow.";
      const speech = await client.audio.speech.create({ model: "tts-1", voice: "alloy", input, response_format: "wav" });
      const file = new File([await speech.arrayBuffer()], "speech.wav");
      const heard = await client.audio.transcriptions.create({ model: "whisper-1", file });
      return { models: models.data.length, text: heard.text };
    },
    [`${BASE_URL}/v1`, API_KEY],
  );
  assert.ok(said.models > 3);
  assert.match(said.text, /meeting|tomorrow/i);
});

test("a page of another origin gets nothing, with the key or without", async () => {
  assert.deepEqual(await asks(other, SPEAK, speaking), { error: "TypeError" });
  assert.deepEqual(await asks(other, `${BASE_URL}/health`), { error: "TypeError" });
  assert.deepEqual(await asks(other, `${BASE_URL}/api/memory`, { headers: { "X-API-Key": API_KEY } }), { error: "TypeError" });
});

test("no cookie is asked for or set", async () => {
  const { headers } = await asks(allowed, `${BASE_URL}/health`);
  assert.equal(headers["access-control-allow-credentials"], undefined);
  assert.deepEqual(await allowed.context().cookies(BASE_URL), []);
});

for (const path of ["/dashboard", "/docs", "/health"]) {
  test(`${path} can be put into no frame`, async () => {
    for (const page of [allowed, other]) {
      const framed = await page.evaluate(
        (url) =>
          new Promise((resolve) => {
            const frame = document.createElement("iframe");
            frame.onload = () => resolve(frame);
            frame.src = url;
            document.body.append(frame);
          }).then((frame) => frame.src),
        BASE_URL + path,
      );
      const frames = page.frames().filter((frame) => frame !== page.mainFrame());
      assert.equal(framed, BASE_URL + path);
      assert.ok(frames.every((frame) => frame.url().startsWith("chrome-error:")), frames.map((frame) => frame.url()).join());
      await page.evaluate(() => document.querySelector("iframe").remove());
    }
  });
}

for (const path of ["/dashboard", "/docs"]) {
  test(`what is put into ${path} does not run and reaches nobody`, async () => {
    await own.goto(BASE_URL + path);
    await own.evaluate(async (elsewhere) => {
      const violated = (window.violated = []);
      document.addEventListener("securitypolicyviolation", (event) => violated.push(event.effectiveDirective));
      const inline = document.createElement("script");
      inline.textContent = "window.ran = 'inline'";
      document.body.append(inline);
      document.body.insertAdjacentHTML("beforeend", `<img src="/nothing" onerror="window.ran = 'handler'">`);
      document.body.insertAdjacentHTML("beforeend", `<p style="color: red">styled</p>`);
      const foreign = document.createElement("script");
      foreign.src = `${elsewhere}/ran.js`;
      document.body.append(foreign);
      const link = document.createElement("a");
      link.href = "javascript:window.ran='link'";
      document.body.append(link);
      link.click();
      new Image().src = `${elsewhere}/pixel.png`;
      await fetch(elsewhere).catch(() => {});
    }, OTHER);
    const refused = ["script-src-elem", "script-src-attr", "style-src-attr", "connect-src", "img-src"];
    const violated = () => own.evaluate(() => window.violated);
    await becomes(violated, (found) => refused.every((directive) => found.includes(directive)));
    assert.equal(await own.evaluate(() => window.ran), undefined);
  });
}
