import { defineConfig } from "vitest/config";

const report = process.env.NORMPOOL_TEST_REPORT;

export default defineConfig({
  test: {
    // Workers run built JavaScript, so tests run against the build, and are built with it.
    include: ["dist/test/**/*.test.js"],
    pool: "forks",
    // Each file has worker threads of its own, but oracles and child processes leave cores idle.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    reporters: report ? ["default", "json"] : ["default"],
    ...(report && { outputFile: { json: report } }),
  },
});
