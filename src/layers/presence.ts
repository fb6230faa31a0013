// Types only: which parameters and buffers a layer has, by the options that it was made with. Whoever takes the defaults need not ask for null.
import type { Parameter } from "../tensor/parameter.js";

/** What is given of an option: itself, or where nothing is given or known the default. */
type Given<V, Default extends boolean> = unknown extends V ? Default : V extends undefined ? Default : V;

type Chosen<O, K extends string, Default extends boolean> = O extends { readonly [P in K]?: infer V }
  ? Given<V, Default>
  : Default;

/** T where the option is true, null where it is false, either where that is not known. */
type If<Option, T> = Option extends true ? T : null;

/** A parameter or buffer that there is where option K is true. */
export type IfOption<O, K extends string, Default extends boolean, T = Parameter> = If<Chosen<O, K, Default>, T>;

/** A bias: where there is a weight (option K) and no `bias: false`. */
export type IfBias<O, K extends string, Default extends boolean> =
  Chosen<O, K, Default> extends infer A ? (A extends true ? If<Chosen<O, "bias", true>, Parameter> : null) : never;

/** A layer that was made without options. */
export type NoOptions = Readonly<Record<never, never>>;
