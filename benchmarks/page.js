// Open the page at $BASE_URL, a few times anew and then for $SECONDS; print what it weighs and when it was usable.

import { launch, visit } from "../tests/browser/browser.js";

const { BASE_URL, SECONDS, ROUNDS } = process.env;
const browser = await launch();
const usable = [];
let bytes = 0;
for (let round = 0; round <= Number(ROUNDS); round++) {
  const { page, context, requests } = await visit(browser, BASE_URL);
  await page.waitForFunction(() => performance.getEntriesByName("usable").length > 0);
  usable.push(await page.evaluate(() => performance.getEntriesByName("usable")[0].startTime));
  if (round < Number(ROUNDS)) {
    await context.close();
    continue;
  }
  const files = requests.filter((request) => !/\/api\/|\/health/.test(request.url()));
  const sizes = await Promise.all(files.map(async (request) => (await (await request.response()).body()).length));
  bytes = sizes.reduce((sum, size) => sum + size);
  await page.waitForTimeout(1000 * Number(SECONDS));
}
console.log(JSON.stringify({ usable, bytes }));
await browser.close();
