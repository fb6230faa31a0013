// A program that is killed: one forward call with a journal, in small parts. It kills itself when so many parts and one more are noted:
// a parent would be late where the machine is busy.
import { forward } from "../src/calls/forward.js";
import { BatchNorm1d, LayerNorm } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { Executor } from "../src/run/executor.js";
import { createTensor, openTensor } from "../src/storage/file-tensor.js";
import { Journal } from "../src/storage/journal.js";
import type { JournalMode } from "../src/storage/output.js";

const [, , input = "", output = "", name, mode, killAfter] = process.argv;
const SHAPE = [2003, 301];

let [parts, noted] = [0, 0];
const { note } = Journal.prototype;
Journal.prototype.note = function (part, sync) {
  parts++;
  note.call(this, part, sync);
  void this.settled().then(() => {
    if (noted++ === Number(killAfter)) process.kill(process.pid, "SIGKILL");
  });
};

const executor = new Executor(2, new Arena(), { partCells: 201 * 301 });
const x = await openTensor("test", input, { dtype: "float32", shape: SHAPE });
const y = await createTensor("test", output, "float32", SHAPE, { journal: mode as JournalMode });
const layer = name === "batch" ? new BatchNorm1d(301, { trackRunningStats: false }) : new LayerNorm(301);
await forward(executor, layer, x, { out: y });
await y.commit();
await executor.close();
process.stdout.write(JSON.stringify({ parts }));
