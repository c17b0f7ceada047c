// The page at $BASE_URL, of a service whose engines go soon, in a real browser with a recording as its microphone.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { after, afterEach, before, beforeEach, test } from "node:test";
import axe from "axe-core";
import { becomes, launch, visit } from "./browser.js";

const { BASE_URL, RECORDING, LONGER, MICROPHONE, PYTHON } = process.env;
const spoken = /might|amiable|himself/i; // a word of it: which ones are right differs between processors
let browser, tab, page, expected;

before(async () => (browser = await launch({ microphone: MICROPHONE })));
after(() => browser.close());
beforeEach(() => open());
afterEach(async () => {
  assert.deepEqual(
    tab.wrong.filter((one) => !expected?.test(one)),
    [],
  );
  await tab.context.close();
});

async function open(options = {}) {
  await tab?.context.close();
  tab = await visit(browser, BASE_URL, options);
  page = tab.page;
  expected = null; // what the console may say
}

const says = (selector, pattern) => page.locator(selector).filter({ hasText: pattern }).waitFor();
const text = (selector) => page.locator(selector).innerText();

async function transcribe(file = RECORDING) {
  await page.setInputFiles("#file", file);
  await transcribed();
}

async function transcribed() {
  await page.locator("#downloads:visible, #listen-says[data-kind=error]").first().waitFor();
  assert.match(await text("#listen-says"), /of speech \(en\)/);
}

// What a program says, and the files it leaves, in a folder that has the recording.
async function run(command, ...args) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "page-"));
  try {
    fs.copyFileSync(RECORDING, path.join(folder, path.basename(RECORDING)));
    const { stdout } = await promisify(execFile)(command, args, { cwd: folder });
    return { said: stdout, left: fs.readdirSync(folder) };
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

test("memory, health, requests and the queue are there", async () => {
  await says("#total", /\d\d\.\d/);
  await says("#status", "healthy");
  await says("#checks", /transcription\s*tiny\.en/);
  await says("#requests", "failed (5xx)");
  await says("#engines", "0 of 10");
  await says("#jobs", "No jobs");
  await says("#of-budget", /of 512 MB/);
  await becomes(() => page.locator("#chart-says").textContent(), (said) => /a budget of 512 MB/.test(said));
  await becomes(() => page.locator("#chart polygon.web").boundingBox(), (box) => box.height > 2);
});

test("all it is made of is under 100 kB, and small enough to be said", async () => {
  await says("#total", /\d/);
  const files = tab.requests.filter((request) => !/\/api\/|\/health/.test(request.url()));
  const sizes = await Promise.all(files.map(async (request) => (await (await request.response()).body()).length));
  assert.ok(sizes.length > 10);
  assert.ok(sizes.reduce((sum, size) => sum + size) < 100_000, String(sizes));
});

test("what is said into the microphone becomes text while it is said", async () => {
  await page.click("#record");
  await says("#segments", spoken); // nobody has stopped it yet
  assert.match(await text("#record-says"), /^Stop/);
  await says("#record-says", /Stop, (0:0[4-9]|0:[1-5]|[1-9])/); // the recording has 3.3 s
  await page.click("#record");
  await says("#listen-says", /of speech \(en\), written while you spoke/);
  await page.locator("#downloads").waitFor();
  await says("#segments", spoken);
  assert.equal(await page.locator("#segments [aria-busy=true]").count(), 0);
  await page.waitForFunction(() => document.getElementById("recording").readyState > 0); // it can be played
  await says("#listen-snippets", /audio=@recording\.webm/);
});

test("where no live session is left, the recording becomes text when it ends", async () => {
  expected = /WebSocket connection .* 503/;
  await page.evaluate(() => {
    const opened = () =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${location.host}/api/v1/pam/voice/live`);
        [socket.onopen, socket.onerror] = [resolve, reject];
      });
    return Promise.all([opened(), opened(), opened(), opened()]); // all that there may be
  });
  await page.click("#record");
  await says("#listen-says", "The text comes when you stop.");
  await says("#record-says", /Stop, (0:0[4-9]|0:[1-5]|[1-9])/);
  await page.click("#record");
  await transcribed();
  await says("#segments", spoken);
});

test("what is to be translated is no live session", async () => {
  await page.selectOption("#task", "translate");
  await page.click("#record");
  await says("#record-says", /Stop, (0:0[4-9]|0:[1-5]|[1-9])/);
  await page.click("#record");
  await page.locator("#downloads:visible, #listen-says[data-kind=error]").first().waitFor();
  assert.match(await text("#listen-says"), /of speech \(\w+\) in/);
});

test("a refused microphone is explained", async () => {
  await open({ microphone: "refused" });
  await page.click("#record");
  await says("#listen-says", /not allowed/);
  await says("#record-says", /^Record$/);
});

test("a dropped file becomes text", async () => {
  const bytes = fs.readFileSync(RECORDING).toString("base64");
  await page.evaluate((base64) => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    data.items.add(new File([bytes], "dropped.flac", { type: "audio/flac" }));
    document
      .getElementById("drop")
      .dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
  }, bytes);
  await transcribed();
  await says("#segments", spoken);
});

test("a transcript's parts play their place, by mouse and by keyboard, and it can be had as a file", async () => {
  await transcribe(LONGER);
  const parts = page.locator("#segments button");
  const last = parts.last();
  const [minutes, seconds] = (await last.locator("time").innerText()).split(":").map(Number);
  await last.click();
  await page.waitForFunction(
    (start) => document.getElementById("recording").currentTime > start,
    minutes * 60 + seconds,
  );
  await page.locator("#segments [aria-current]").waitFor();
  await page.waitForFunction(() => !document.getElementById("recording").paused);
  await parts.first().focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(
    (start) => document.getElementById("recording").currentTime < start,
    minutes * 60 + seconds,
  );
  const files = {};
  for (const format of ["txt", "srt", "vtt"]) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`[data-format=${format}]`)]);
    assert.equal(download.suggestedFilename(), `${path.parse(LONGER).name}.${format}`);
    files[format] = fs.readFileSync(await download.path(), "utf8");
  }
  const words = (await page.locator("#segments button").allInnerTexts())
    .map((one) => one.replace(/^\d+:\d+\s+/, ""))
    .join(" ");
  assert.equal(files.txt, `${words}\n`);
  assert.match(files.srt, /^1\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\n\S/);
  assert.match(files.vtt, /^WEBVTT\n\n00:00:00\.\d{3} --> /);
  const lines = files.srt.split("\n").filter((line) => /[a-z]/.test(line));
  assert.equal(lines.join(" "), words);
  assert.ok(
    lines.every((line) => line.length <= 42),
    String(lines),
  );
});

test("the lines shown for what was done do it again", async () => {
  await transcribe();
  await page.fill("#text", 'It\'s "quoted", $HOME, \\ and ünïcode.\nA second line.');
  await page.selectOption("#format", "wav");
  await page.locator("#speed").fill("1.25");
  await page.click("#speak-button");
  await says("#speak-snippets", "curl");
  const [curl, python, inPage, speakCurl, speakPython, speakInPage] = await page
    .locator(".snippets pre")
    .allTextContents();
  const commands = [
    ["sh", curl],
    [PYTHON, python],
    ["sh", speakCurl],
    [PYTHON, speakPython],
  ];
  const done = await Promise.all(commands.map(([command, code]) => run(command, "-c", code)));
  for (const { said } of done.slice(0, 2)) assert.match(said, spoken);
  for (const { left } of done.slice(2)) assert.ok(left.includes("speech.wav"));
  await page.evaluate(() => document.body.prepend(Object.assign(document.createElement("input"), { type: "file" })));
  await page.setInputFiles("body > input", RECORDING);
  const [said] = await Promise.all([page.waitForEvent("console"), page.evaluate(`(async () => {${inPage}})()`)]);
  assert.match(said.text(), spoken);
  await page.evaluate(`(async () => {${speakInPage}})()`);
});

test("what is typed is spoken to its end", async () => {
  await page.evaluate(() => {
    const player = document.getElementById("spoken");
    player.addEventListener("ended", () => (player.dataset.ended = String(player.currentTime)));
  });
  await page.fill("#text", "Good morning.");
  await page.click("#speak-button");
  await page.locator("#spoken[data-ended]").waitFor();
  const [ended, duration] = await page.evaluate(() => {
    const player = document.getElementById("spoken");
    return [Number(player.dataset.ended), player.duration];
  });
  assert.ok(duration > 0.5 && Math.abs(ended - duration) < 0.1, `${ended} of ${duration}`);
  await says("#speak-says", /^espeak-ng \(offline\)/);
  await page.locator("#spoken-link[download='speech.mp3']").waitFor();
});

test("voices are listed when somebody comes near, and the one that is chosen speaks", async () => {
  await page.focus("#text");
  await page.locator("#voice optgroup").first().waitFor({ state: "attached" });
  await page.selectOption("#voice", { value: "espeak:de" });
  await page.fill("#text", "Guten Morgen.");
  await page.click("#speak-button");
  await says("#speak-says", "espeak:de");
});

test("each voice says the name of its language", async () => {
  await page.click("#voices > summary");
  await page.locator("#voices summary", { hasText: /^French \(\d+\)$/ }).click();
  await page.locator("#voices button", { hasText: "French (Belgium) · espeak, robotic" }).click();
  await says("#speak-says", "espeak:fr-be");
  await page.click("#voices > summary");
});

test("the chart rises while an engine runs and falls when it has gone", async () => {
  await says("#engines", /whisper\s*stopped/);
  await page.waitForLoadState("networkidle"); // what happened before is on the chart
  // How high the engine's area is at its right end, which is now: its points go there above and come back below.
  const height = () =>
    page.locator("#chart polygon.area.whisper").evaluate(({ points }) => {
      const middle = points.length / 2;
      return points[middle].y - points[middle - 1].y;
    });
  const came = await page.locator("#chart polygon.mark.whisper.start").count();
  assert.equal(await height(), 0);
  await Promise.all([
    transcribe(),
    says("#roles", /whisper engine\s*\d+\.\d/),
    becomes(height, (now) => now > 10), // from its start on: it goes 4 s after its work
  ]);
  await becomes(() => page.locator("#chart polygon.mark.whisper.start").count(), (marks) => marks === came + 1);
  await says("#roles", /whisper engine\s*not running/);
  await says("#engine-log", /whisper ended after \d+ s, −\d+ MB/);
  await becomes(height, (now) => now === 0);
});

test("what happened while nobody looked is on the chart", async () => {
  const form = new FormData();
  await page.close();
  form.append("audio", new Blob([fs.readFileSync(RECORDING)]), "a.flac");
  assert.equal((await fetch(`${BASE_URL}/api/v1/pam/voice/transcribe`, { method: "POST", body: form })).status, 200);
  const running = async () =>
    (await (await fetch(`${BASE_URL}/api/memory`)).json()).service.processes.some((one) => one.role === "whisper");
  await becomes(running, (now) => !now);
  await open();
  await says("#engine-log", /ended after/);
  await says("#engine-log", /started/);
});

test("a tab that is not seen asks for nothing, and asks again when it is seen", async () => {
  await open({ clock: true });
  await says("#requests", "failed (5xx)");
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
    window.away = true;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.waitForLoadState("networkidle");
  const before = tab.requests.length;
  await page.clock.runFor(60_000);
  assert.equal(tab.requests.length, before);
  await page.evaluate(() => {
    window.away = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.waitForRequest(/\/api\/status/);
  await page.waitForLoadState("networkidle");
  await Promise.all([page.waitForRequest(/\/api\/status/), page.clock.runFor(6000)]);
});

test("what the service refuses is said in its words", async () => {
  expected = /400 \(BAD REQUEST\)/; // the browser's own line about the refusal
  await page.setInputFiles("#file", {
    name: "letter.wav",
    mimeType: "audio/wav",
    buffer: Buffer.from("Dear sir, ".repeat(50)),
  });
  await says("#listen-says[data-kind=error]", /\w/);
  await says("#listen-says", /audio|recording|sound/);
  await page.fill("#text", "...");
  await page.click("#speak-button");
  await says("#speak-says[data-kind=error]", /\w/);
});

test("a service that went away is told of, and found again", async () => {
  expected = /ERR_INTERNET_DISCONNECTED/;
  await says("#total", /\d/);
  await tab.context.setOffline(true);
  await says("#trouble", "does not answer");
  await tab.context.setOffline(false);
  await page.locator("#trouble").waitFor({ state: "hidden" });
});

for (const colorScheme of ["light", "dark"]) {
  test(`no barrier is found in the ${colorScheme} page, and nothing is wider than a small phone`, async () => {
    await open({ colorScheme, viewport: { width: 360, height: 700 } });
    await transcribe();
    await page.click("#speak-button");
    await page.locator("#speak-snippets summary").last().click();
    await page.locator("#listen-snippets summary").last().click();
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    assert.deepEqual(
      violations.map((one) => [one.id, one.impact, one.nodes.map((node) => node.html)]),
      [],
    );
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
  });
}
