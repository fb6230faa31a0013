// The bench's ruler: the least that any normalisation must move. A module of its own, over the same kind of memory as the product's.

/** y = 2x. One read, one write; y may be x. n a multiple of 16. */
export function doubleF32Run(x: usize, y: usize, n: usize): void {
  const two = f32x4.splat(2);
  for (const end = x + (n << 2); x < end; x += 64, y += 64) {
    v128.store(y, f32x4.mul(v128.load(x), two));
    v128.store(y, f32x4.mul(v128.load(x, 16), two), 16);
    v128.store(y, f32x4.mul(v128.load(x, 32), two), 32);
    v128.store(y, f32x4.mul(v128.load(x, 48), two), 48);
  }
}
