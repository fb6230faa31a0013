import { defineConfig } from "vitest/config";
import config from "./vitest.config.js";

// The tests of scheduling, each 200 times over, or NORMPOOL_STRESS times: who claims what, who waits for whom, what is given back, what is lost.
// Faults are others each time.
const FILES = ["queue", "share", "scope", "pool", "replaced-during-call", "faults/faults"];

export default defineConfig({
  ...config,
  test: {
    ...config.test,
    include: FILES.map((name) => `dist/test/${name}.test.js`),
    setupFiles: ["dist/test/stress.js"],
    env: { NORMPOOL_STRESS: process.env.NORMPOOL_STRESS ?? "200" },
  },
});
