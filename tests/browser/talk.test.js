// The page at $PAGE that a document prints: somebody says something, reads it, and hears it; or reads it while it is said.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, PATIENCE_MS } from "./browser.js";

const { PAGE, MICROPHONE } = process.env;

test("what is said is shown, and spoken where the page speaks", async () => {
  const browser = await launch({ microphone: MICROPHONE });
  const context = await browser.newContext({ permissions: ["microphone"] });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
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
  const live = (await page.title()) === "Live";
  const words = () => page.locator("#text").filter({ hasText: /might|amiable|himself/i }).waitFor();
  await (live ? words() : page.waitForTimeout(4000)); // the recording has 3.3 s
  await page.click("#record");
  if (live) await page.locator("#record").filter({ hasText: "Record" }).waitFor();
  else {
    await words();
    await page.waitForFunction(() => window.heard > 1);
  }
  assert.deepEqual(wrong, []);
  await browser.close();
});
