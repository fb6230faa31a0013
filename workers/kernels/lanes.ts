// Lane helpers and the scratch slots that keep loop constants out of loops.
//
// TurboFan schedules a pure value at its latest use: a `splat` written before a loop is computed again in
// every turn of it (measured: half of the loop's time). A load is tied to its place, so each constant of
// a hot loop is stored to a slot of scratch memory and loaded back, splatted, before the loop.

/** Address of this thread's scratch: SCRATCH_BYTES in the protocol, 16-byte aligned, never shared. */
let scratch: usize = 0;

export function setScratch(address: usize): void {
  scratch = address;
}

@inline
export function pinF64(value: f64, slot: usize): v128 {
  store<f64>(scratch + (slot << 3), value);
  return v128.load64_splat(scratch + (slot << 3));
}

@inline
export function pinF32(value: f32, slot: usize): v128 {
  store<f32>(scratch + (slot << 3), value);
  return v128.load32_splat(scratch + (slot << 3));
}

/** Two float32 cells as float64 lanes. */
@inline
export function loadPair(address: usize): v128 {
  return f64x2.promote_low_f32x4(v128.load64_zero(address));
}

/** The four float32 lanes added in pairs into two float64 lanes: (0 + 2, 1 + 3). */
@inline
export function widen(v: v128): v128 {
  return f64x2.add(f64x2.promote_low_f32x4(v), f64x2.promote_low_f32x4(i64x2.shuffle(v, v, 1, 0)));
}

@inline
export function sumLanes(v: v128): f64 {
  return f64x2.extract_lane(v, 0) + f64x2.extract_lane(v, 1);
}
