// Lane helpers and the scratch slots that keep loop constants out of loops.
//
// TurboFan schedules a pure value at its latest use: a `splat` written before a loop is computed again in
// every turn of it (measured: half of the loop's time). A load is tied to its place, so each constant of
// a hot loop is stored to a slot of scratch memory and loaded back, splatted, before the loop.
//
// Functions of a type parameter A are compiled for float32 and for float64 cells. Both are computed on as float64 pairs.

/** Address of this thread's scratch: SCRATCH_BYTES of workers/scratch.ts, 16-byte aligned, never shared. */
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

/** A mask in each of four lanes. Constants other than 0 are built anew in every turn of a loop too, from four instructions. */
@inline
export function pinU32(value: u32, slot: usize): v128 {
  store<u32>(scratch + (slot << 3), value);
  return v128.load32_splat(scratch + (slot << 3));
}

/** Address of the scratch that no pin takes: 20 float64. */
@inline
export function freeScratch(): usize {
  return scratch + 96;
}

/** Bytes of `cells` cells. */
@inline
export function bytesOf<A>(cells: usize): usize {
  return sizeof<A>() == 8 ? cells << 3 : cells << 2;
}

@inline
export function loadCell<A>(address: usize): f64 {
  return <f64>load<A>(address);
}

@inline
export function storeCell<A>(address: usize, value: f64): void {
  store<A>(address, <A>value);
}

// Cells (0, 1), (2, 3), (4, 5), (6, 7) from an address. Literal offsets: a computed one costs an instruction for each access.

@inline
export function pair0<A>(address: usize): v128 {
  return sizeof<A>() == 8 ? v128.load(address) : f64x2.promote_low_f32x4(v128.load64_zero(address));
}

@inline
export function pair1<A>(address: usize): v128 {
  return sizeof<A>() == 8 ? v128.load(address, 16) : f64x2.promote_low_f32x4(v128.load64_zero(address, 8));
}

@inline
export function pair2<A>(address: usize): v128 {
  return sizeof<A>() == 8 ? v128.load(address, 32) : f64x2.promote_low_f32x4(v128.load64_zero(address, 16));
}

@inline
export function pair3<A>(address: usize): v128 {
  return sizeof<A>() == 8 ? v128.load(address, 48) : f64x2.promote_low_f32x4(v128.load64_zero(address, 24));
}

@inline
export function putPair0<A>(address: usize, v: v128): void {
  if (sizeof<A>() == 8) v128.store(address, v);
  else v128.store64_lane(address, f32x4.demote_f64x2_zero(v), 0);
}

@inline
export function putPair1<A>(address: usize, v: v128): void {
  if (sizeof<A>() == 8) v128.store(address, v, 16);
  else v128.store64_lane(address, f32x4.demote_f64x2_zero(v), 0, 8);
}

@inline
export function putPair2<A>(address: usize, v: v128): void {
  if (sizeof<A>() == 8) v128.store(address, v, 32);
  else v128.store64_lane(address, f32x4.demote_f64x2_zero(v), 0, 16);
}

@inline
export function putPair3<A>(address: usize, v: v128): void {
  if (sizeof<A>() == 8) v128.store(address, v, 48);
  else v128.store64_lane(address, f32x4.demote_f64x2_zero(v), 0, 24);
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
