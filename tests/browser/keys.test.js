// The page at $BASE_URL of a service that asks for $API_KEY.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, visit } from "./browser.js";

const { BASE_URL, RECORDING, MICROPHONE, API_KEY } = process.env;
let browser, tab, page;

before(async () => {
  browser = await launch({ microphone: MICROPHONE });
  tab = await visit(browser, `${BASE_URL}/dashboard`);
  page = tab.page;
});
after(() => browser.close());

const says = (selector, pattern) => page.locator(selector).filter({ hasText: pattern }).waitFor();

async function give(key) {
  await page.fill("#key-text", key);
  await page.keyboard.press("Enter");
}

test("health is told without a key, the rest is not", async () => {
  await says("#status", "healthy");
  await page.locator("#key").waitFor();
  await page.waitForFunction(() => document.activeElement.id === "key-text");
  assert.equal(await page.locator("#total").innerText(), "–");
});

test("a wrong key is called one", async () => {
  await give("open-barley");
  await says("#key-says", "not accepted");
  await page.locator("#key-text[aria-invalid=true]").waitFor();
});

test("with the right one everything works", async () => {
  await give(API_KEY);
  await says("#total", /\d\d\.\d/);
  await says("#requests", "failed (5xx)");
  await page.setInputFiles("#file", RECORDING);
  await says("#segments", /might|amiable|himself/i);
  await page.fill("#text", "Good morning.");
  await page.click("#speak-button");
  await says("#speak-says", "espeak-ng");
  await page.locator("#key").waitFor({ state: "hidden" });
});

test("with a key, too, words come while they are spoken", async () => {
  await page.click("#record");
  await says("#listen-says", "Listening"); // the transcript of before has gone
  await says("#segments", /might|amiable|himself/i);
  await page.click("#record");
  await says("#listen-says", "written while you spoke");
});

test("the lines that do it again name the key and do not have it", async () => {
  const lines = await page.locator(".snippets pre").allTextContents();
  assert.equal(lines.length, 6);
  for (const line of lines) {
    assert.match(line, /\$API_KEY|os\.environ\["API_KEY"\]/);
    assert.ok(!line.includes(API_KEY));
  }
});

test("the key is kept in the tab, over a reload, and nowhere else", async () => {
  await page.reload();
  await says("#total", /\d\d\.\d/);
  await page.locator("#key").waitFor({ state: "hidden" });
  assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie]), [0, ""]);
  assert.ok(tab.requests.every((request) => !decodeURIComponent(request.url()).includes(API_KEY)));
  const other = await tab.context.newPage();
  await other.goto(BASE_URL);
  await other.locator("#key").waitFor();
});

test("a key that is forgotten is asked for again", async () => {
  await page.click("#forget");
  await page.locator("#key").waitFor();
  await page.waitForFunction(() => sessionStorage.length === 0);
});

test("nothing else went wrong", () => {
  assert.deepEqual(
    tab.wrong.filter((one) => !/401 \(UNAUTHORIZED\)/.test(one)),
    [],
  );
});
