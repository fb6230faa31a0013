// The numbers of each section as pictures: a chart, its legend, and what one sees.
import type { Results } from "../results.js";
import { draw, type Undrawn } from "./draw.js";
import { atOncePicture, latencyPicture } from "./latency-pictures.js";
import { peersPictures } from "./peers-pictures.js";
import { rooflinePictures } from "./roofline-pictures.js";
import { scalingPictures } from "./scaling-pictures.js";

export interface Picture extends Pick<Undrawn, "section" | "title" | "alone" | "legend"> {
  readonly says: string;
  readonly svg: string;
}

export function drawPictures({ roofline, scaling, latency, peers, quick }: Results): Promise<Picture[]> {
  const undrawn = [
    ...(roofline ? rooflinePictures(roofline, quick) : []),
    ...(scaling ? scalingPictures(scaling) : []),
    ...(latency ? [latencyPicture(latency), atOncePicture(latency)] : []),
    ...(peers ? peersPictures(peers) : []),
  ];
  return Promise.all(
    undrawn.map(async ({ section, title, alone, how, found, legend, ...drawing }) => {
      const says = quick ? how : `${found} ${how}`;
      return { section, title, alone, legend, says, svg: await draw(drawing, `${alone}. ${says}`) };
    }),
  );
}
