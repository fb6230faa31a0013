// Pictures as SVG, drawn by the bundle of vega that the build made.
import type { Spec, View } from "vega";
import type { ChartName } from "./charts.js";
import { escapeText } from "./html.js";

/** A place in a picture. */
export interface Point {
  readonly x: number;
  readonly y: number | string;
  readonly series: string;
}

interface Bundle {
  readonly View: typeof View;
  parse(spec: Spec): ConstructorParameters<typeof View>[0];
  readonly specs: Readonly<Record<ChartName, Spec>>;
}

let loaded: Promise<Bundle> | undefined;

/** An svg element that takes its size from around it. */
export async function draw(name: ChartName, points: readonly Point[], label: string): Promise<string> {
  loaded ??= import(new URL("./vega.js", import.meta.url).href) as Promise<Bundle>;
  const { View, parse, specs } = await loaded;
  const view = new View(parse(specs[name]), { renderer: "none" });
  try {
    const svg = await view.data("points", [...points]).toSVG();
    // One picture to a screen reader, not hundreds of marks. Without its size in pixels, and without namespaces, which inside HTML are known.
    return svg
      .replace(/ (aria-[a-z]+|role|pointer-events)="[^"]*"/g, "")
      .replace(/^<svg[^>]*?viewBox="([^"]*)"[^>]*>/, `<svg viewBox="$1" role="img" aria-label="${escapeText(label)}">`);
  } finally {
    view.finalize();
  }
}
