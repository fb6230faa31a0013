/** The start of a safetensors file with this header, whose length may be told wrong. */
export function safetensorsFile(header: string | Buffer, length?: number): Buffer {
  const bytes = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(length ?? bytes.length));
  return Buffer.concat([prefix, bytes]);
}
