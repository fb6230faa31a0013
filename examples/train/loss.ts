// Softmax cross entropy, in plain loops.

/**
 * The mean over the rows of `logits`, `[rows, classes]`, of -log(softmax of the label's logit). Puts its gradient in the logits' place.
 */
export function crossEntropy(logits: Float32Array, labels: Uint8Array): number {
  const classes = logits.length / labels.length;
  let loss = 0;
  labels.forEach((label, row) => {
    const cells = logits.subarray(row * classes, (row + 1) * classes);
    const own = cells[label] as number;
    const max = Math.max(...cells);
    let sum = 0;
    for (let c = 0; c < classes; c++) sum += Math.exp((cells[c] as number) - max);
    loss += max + Math.log(sum) - own;
    for (let c = 0; c < classes; c++) {
      const probability = Math.exp((cells[c] as number) - max) / sum;
      cells[c] = (probability - (c === label ? 1 : 0)) / labels.length;
    }
  });
  return loss / labels.length;
}

/** How many rows of `logits` are largest at their label. */
export function countCorrect(logits: Float32Array, labels: Uint8Array): number {
  const classes = logits.length / labels.length;
  let correct = 0;
  labels.forEach((label, row) => {
    const cells = logits.subarray(row * classes, (row + 1) * classes);
    if (cells.indexOf(Math.max(...cells)) === label) correct++;
  });
  return correct;
}
