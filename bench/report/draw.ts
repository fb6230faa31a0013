// Pictures as SVG, drawn by the bundle of vega that the build made.
import type { Spec, View } from "vega";
import type { ChartName } from "./charts.js";
import { escapeText } from "./html.js";
import type { Entry } from "./legend.js";

/** A place in a picture. */
interface Point {
  readonly x: number;
  readonly y: number | string;
  /** Where a bar that begins at x ends. */
  readonly to?: number;
  readonly series: string;
  /** What a mark of the chart is for, where the series does not say it. */
  readonly kind?: string;
}

interface Bundle {
  readonly View: typeof View;
  parse(spec: Spec): ConstructorParameters<typeof View>[0];
  readonly specs: Readonly<Record<ChartName, Spec>>;
}

let loaded: Promise<Bundle> | undefined;

/** What a chart shows. */
export interface Drawing {
  readonly chart: ChartName;
  readonly points: readonly Point[];
  /** The chart's parameters. */
  readonly numbers?: Readonly<Record<string, number>>;
}

/** A picture that is still to be drawn. */
export interface Undrawn extends Drawing {
  readonly section: "roofline" | "scaling" | "latency" | "peers";
  readonly title: string;
  /** Its title where no section is around it. */
  readonly alone: string;
  /** How to read it. */
  readonly how: string;
  /** What it shows. Left out of a quick run, whose numbers show nothing. */
  readonly found: string;
  readonly legend: readonly Entry[];
}

/** An svg element that takes its size from around it. */
export async function draw({ chart, points, numbers = {} }: Drawing, label: string): Promise<string> {
  loaded ??= import(new URL("./vega.js", import.meta.url).href) as Promise<Bundle>;
  const { View, parse, specs } = await loaded;
  const view = new View(parse(specs[chart]), { renderer: "none" });
  try {
    for (const [name, value] of Object.entries(numbers)) view.signal(name, value);
    const svg = await view.data("points", [...points]).toSVG();
    // One picture to a screen reader, not hundreds of marks. Without its size in pixels, and without namespaces, which inside HTML are known.
    return svg
      .replace(/ (aria-[a-z]+|role|pointer-events)="[^"]*"/g, "")
      .replace(/^<svg[^>]*?viewBox="([^"]*)"[^>]*>/, `<svg viewBox="$1" role="img" aria-label="${escapeText(label)}">`);
  } finally {
    view.finalize();
  }
}
