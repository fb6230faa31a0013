import type { Spec, Specs } from "../../src/storage/spec.js";
import { arena } from "./arena.js";
import type { Driver } from "./driver.js";
import { file } from "./file.js";
import { shared } from "./shared.js";

/** The driver of each kind of spec. */
const DRIVERS: { readonly [K in keyof Specs]: Driver<Specs[K]> } = { arena, shared, file };

const all = new Map<string, Driver>(Object.entries(DRIVERS) as [string, Driver][]);

export function driverOf({ kind }: Spec): Driver {
  const driver = all.get(kind);
  if (driver === undefined) throw new RangeError(`expected a spec of ${[...all.keys()].join(", ")} but got ${kind}`);
  return driver;
}

/** Adds the drivers that a module exports as `drivers`, by kind, if it does: those of tests. */
export async function addDrivers(url: string): Promise<void> {
  const { drivers = {} } = (await import(url)) as { readonly drivers?: Readonly<Record<string, Driver>> };
  for (const [kind, driver] of Object.entries(drivers)) all.set(kind, driver);
}
