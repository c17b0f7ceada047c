// The page: what stands where is in page.html, what it does in the modules.

import { forgetKey, hasKey } from "./api.js";
import { showSeats, watchCondition } from "./condition.js";
import { byId } from "./element.js";
import * as listen from "./listen.js";
import { watchMemory } from "./memory.js";
import * as speak from "./speak.js";

byId("forget").hidden = !hasKey();
byId("forget").onclick = forgetKey;
listen.begin();
speak.begin();
watchMemory(showSeats);
watchCondition(({ checks }) => listen.speaksOnlyEnglish(checks.transcription?.detail ?? ""));
