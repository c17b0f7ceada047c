// A real Chromium without a window, which hears a recording as its microphone; what goes wrong in a page is kept.

import { chromium } from "playwright-core";

export const PATIENCE_MS = 120_000; // for whatever is awaited: what takes a second takes twenty on a busy machine

export function launch({ microphone } = {}) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    chromiumSandbox: false, // root, as in a container, may have none
    args: [
      "--use-fake-device-for-media-stream",
      "--autoplay-policy=no-user-gesture-required",
      // Played once: a recording that begins again would be heard twice.
      ...(microphone ? [`--use-file-for-fake-audio-capture=${microphone}%noloop`] : []),
    ],
  });
}

// A tab at *url* with what went wrong in it so far: errors of its console, requests that leave its origin. With *clock*
// its time is told to pass.
export async function visit(browser, url, { microphone = "granted", clock = false, ...options } = {}) {
  const context = await browser.newContext({ ...options, permissions: microphone === "granted" ? ["microphone"] : [] });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const wrong = [];
  const requests = [];
  page.on("console", (said) => said.type() === "error" && wrong.push(said.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => {
    requests.push(request);
    const { origin, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && origin !== new URL(url).origin) wrong.push(`asked for ${request.url()}`);
  });
  if (clock) await page.clock.install();
  await page.goto(url);
  return { page, context, requests, wrong };
}

// What *look* finds, once it *holds*; after a while an error with what it found last.
export async function becomes(look, holds) {
  for (const limit = Date.now() + PATIENCE_MS; ; ) {
    const found = await look();
    if (holds(found)) return found;
    if (Date.now() > limit) throw new Error(`in vain: ${holds}, last ${JSON.stringify(found)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
