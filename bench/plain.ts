/** What one would write without thinking of speed: LayerNorm in plain loops, two passes in float64. */
export function plainLayerNorm(x: Float32Array, y: Float32Array, d: number, eps: number): void {
  for (let row = 0; row < x.length; row += d) {
    let sum = 0;
    for (let i = row; i < row + d; i++) sum += x[i] as number;
    const mean = sum / d;
    let squares = 0;
    for (let i = row; i < row + d; i++) squares += ((x[i] as number) - mean) ** 2;
    const rstd = 1 / Math.sqrt(squares / d + eps);
    for (let i = row; i < row + d; i++) y[i] = ((x[i] as number) - mean) * rstd;
  }
}
