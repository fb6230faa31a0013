// The roofline's charts: bytes moved a second by the size of the tensor.
import { gigabytesPerSecond, LIMIT, type RooflinePoint, type RooflineResult } from "../roofline.js";
import { formatBytes, formatPercent } from "../text.js";
import type { Undrawn } from "./draw.js";
import { entryOf } from "./legend.js";
import { ROOFLINES, seriesOf } from "./series.js";

const TITLES = { forward: "Forward", backward: "Backward", dtypes: "LayerNorm of other number types" } as const;

export function rooflinePictures({ points }: RooflineResult, quick: boolean): Undrawn[] {
  const rates = points.map(gigabytesPerSecond);
  const numbers = { lowest: Math.min(...rates), highest: Math.max(...rates) };
  const largest = Math.max(...points.map(({ bytes }) => bytes));
  return (["forward", "backward", "dtypes"] as const).map((family) => {
    const shown = points
      .filter((point) => point.family === family || isOfAll(point, family))
      .map((point) => ({ x: point.bytes, y: gigabytesPerSecond(point), series: seriesOf(point.kernel) }));
    const at = (name: string) => shown.find(({ x, series }) => x === largest && series === name)?.y ?? Number.NaN;
    const value = (name: string) => (quick ? {} : { value: formatPercent(at(name) / at(LIMIT)) });
    return {
      section: "roofline",
      title: TITLES[family],
      alone: `${TITLES[family]} by size; % of the limit at ${formatBytes(largest)}`,
      found: `Percentages are of the limit, at ${formatBytes(largest)}.`,
      how: "Higher is better; both scales are logarithmic.",
      chart: `roofline-${family}`,
      points: shown,
      numbers,
      legend: [
        ...ROOFLINES[family].map((series) => ({ ...entryOf(series, "line"), ...value(series) })),
        { ...entryOf(LIMIT, "dashes"), ...value(LIMIT) },
      ],
    };
  });
}

/** The limit is in each chart; float32, to compare with, beside other types. */
function isOfAll({ kernel }: RooflinePoint, family: keyof typeof TITLES): boolean {
  return kernel === LIMIT || (family === "dtypes" && kernel === "LayerNorm");
}
