// What the page says of its words and sections, for those who see such a page for the first time.
import type { Section } from "../describe.js";

export const WORDS: readonly (readonly [word: string, meaning: string])[] = [
  [
    "The limit",
    "is y = 2x: every cell of a tensor is read, doubled and written to other memory, by the same threads, in the same memory. A layer must move as many bytes at least, so none can be faster. Where one is a little above, others were at work on the machine in between.",
  ],
  [
    "A roofline",
    "is a chart of speed under that limit, its roof (dashed). How far a layer's line is below the roof is what its arithmetic costs, and on the left what a call costs. Where they meet, memory is all that counts: no code could be faster.",
  ],
  [
    "GB/s",
    "counts the bytes that a call must move: each read, each write, and the read that a core makes of memory before it writes there.",
  ],
  ["Times", "are medians. What is compared with each other ran in turn, round after round."],
];

/** Its heading, and what it asks. */
export const SECTIONS: Readonly<Record<Section, readonly [heading: string, asks: string]>> = {
  throughput: ["Large tensors", "How fast is each layer where tensors are far larger than any cache?"],
  roofline: [
    "By size: the roofline",
    "How near is each layer to the limit, from a tensor in one core's cache to the largest? Small tensors are computed on the calling thread.",
  ],
  scaling: [
    "By threads",
    "What do more threads give? The model says what more cores would give on this memory: threads share the arithmetic, and all together are no faster than memory.",
  ],
  latency: ["Small calls, and many at once", "What does one call cost, and does one wait for another?"],
  cold: ["The first call of a process", "What do the start of threads and new memory cost?"],
  memory: ["Memory", "What does a process take beside its tensors?"],
  files: ["From file to file", "What does a file cost, beside copying it?"],
  jobs: [
    "By processes, in parts",
    "What does it cost that a file is done by processes, on one machine or many, and not by one pool?",
  ],
  peers: ["Other libraries", "How long do others take for the same?"],
};
