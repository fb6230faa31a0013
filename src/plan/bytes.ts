/** Bytes that are turned at once: a view of all may be longer than a Buffer can be. */
const SWAPPED_AT_ONCE = 64 << 20;

/** Turns the order of the bytes of each element. */
export function swap({ buffer, byteOffset, byteLength }: ArrayBufferView, size: 1 | 2 | 4 | 8): void {
  if (size === 1) return;
  for (let done = 0; done < byteLength; done += SWAPPED_AT_ONCE) {
    const piece = Buffer.from(buffer, byteOffset + done, Math.min(SWAPPED_AT_ONCE, byteLength - done));
    if (size === 2) piece.swap16();
    else if (size === 4) piece.swap32();
    else piece.swap64();
  }
}
