// npm run demo: what normpool does, in three acts.

import { runDigits } from "./demo/digits.js";
import { runThreads } from "./demo/threads.js";
import { runTutorial } from "./demo/tutorial.js";

await runTutorial();
await runDigits();
await runThreads();
