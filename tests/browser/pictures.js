// The pictures of the README: the page at $BASE_URL, light and dark, after a minute and a half of work, into $FOLDER.

import { launch, visit } from "./browser.js";

const { BASE_URL, FOLDER, RECORDING } = process.env;
const browser = await launch();
const { page } = await visit(browser, BASE_URL, { viewport: { width: 1120, height: 1000 }, deviceScaleFactor: 1 });
const engines = (gone) => page.locator("#roles").filter({ hasText: gone }).waitFor({ timeout: 120_000 });
page.setDefaultTimeout(60_000);

await page.waitForTimeout(15_000);
await page.setInputFiles("#file", RECORDING);
await page.locator("#downloads").waitFor();
await engines(/whisper enginenot running/);
await page.waitForTimeout(8_000);
await page.fill("#text", "The meeting starts at ten. Bring the figures of last week, and something to drink.");
await page.click("#speak-button");
await page.locator("#speak-snippets").waitFor();
await engines(/speech enginenot running/);
await page.waitForTimeout(8_000);
await page.setInputFiles("#file", RECORDING);
await page.locator("#downloads").waitFor();
await page.waitForTimeout(4_000);
for (const colorScheme of ["light", "dark"]) {
  await page.emulateMedia({ colorScheme });
  await page.screenshot({ path: `${FOLDER}/page-${colorScheme}.png`, fullPage: true });
}
await browser.close();
