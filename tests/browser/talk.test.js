// The page at $PAGE that the README prints: somebody says something, reads it, and hears it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch } from "./browser.js";

const { PAGE, MICROPHONE } = process.env;

test("what is said is shown and spoken", async () => {
  const browser = await launch({ microphone: MICROPHONE });
  const context = await browser.newContext({ permissions: ["microphone"] });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(String(error)));
  await page.addInitScript(() => {
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
      this.addEventListener("ended", () => (window.heard = this.duration));
      return play.call(this);
    };
  });
  await page.goto(PAGE);
  await page.click("#record");
  await page.locator("#record").filter({ hasText: "Stop" }).waitFor();
  await page.waitForTimeout(4000); // the recording has 3.3 s
  await page.click("#record");
  await page.locator("#text").filter({ hasText: /might|amiable|himself/i }).waitFor();
  await page.waitForFunction(() => window.heard > 1);
  assert.deepEqual(wrong, []);
  await browser.close();
});
