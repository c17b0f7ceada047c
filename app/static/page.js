// The page: what stands where is in page.html, what it does in the modules.

import { forgetKey, hasKey, json } from "./api.js";
import { showCondition, showHealth } from "./condition.js";
import { byId } from "./element.js";
import * as listen from "./listen.js";
import { watchStatus } from "./memory.js";
import * as speak from "./speak.js";

byId("forget").hidden = !hasKey();
byId("forget").onclick = forgetKey;
// Health is told without a key.
document.addEventListener("key-needed", async () => showHealth(await json("health")));
listen.begin();
speak.begin();
watchStatus((status) => {
  showCondition(status);
  listen.speaksOnlyEnglish(status.memory.budget.engines.map((engine) => engine.model).filter(Boolean));
});
