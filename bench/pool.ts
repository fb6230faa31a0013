// A pool whose calls can be held to the calling thread or to a number of threads, all in one memory: what NormPool decides itself.
import { type BackwardOptions, backward, type Gradients } from "../src/calls/backward.js";
import { forward } from "../src/calls/forward.js";
import { momentsOf } from "../src/calls/moments-of.js";
import type { ForwardOptions, LayerCallOptions } from "../src/calls/options.js";
import type { Dtype, Layer, NormPool, OutputDtype, SetMoments, Shape, Tensor } from "../src/index.js";
import { Arena } from "../src/memory/arena.js";
import { sliceCount } from "../src/plan/slices.js";
import { Executor } from "../src/run/executor.js";
import { drive } from "../src/run/steps.js";
import { computeSlice, Doublers, type Doubling, instantiateLimit, type LimitKernels } from "./double.js";

/** What the bench calls of a pool. */
export type Calls = Pick<NormPool, "tensor" | "forward" | "backward" | "momentsOf">;

/** Where phases run: on so many threads, or on the calling one. */
export type Place = number | "calling thread";

/** The same calls as a NormPool's, on one executor. */
class ExecutorCalls implements Calls {
  readonly #executor: Executor;

  constructor(executor: Executor) {
    this.#executor = executor;
  }

  tensor<D extends Dtype>(dtype: D, shape: Shape): Tensor<D> {
    return this.#executor.allocate("bench", dtype, shape, true);
  }

  forward<D extends Dtype>(layer: Layer, x: Tensor<D>, options?: ForwardOptions): Promise<Tensor<OutputDtype<D>>> {
    return Promise.resolve(forward(this.#executor, layer, x, options));
  }

  backward<D extends Dtype>(layer: Layer, options: BackwardOptions<D>): Promise<Gradients<D>> {
    return Promise.resolve(drive(backward<D>(this.#executor, layer, options)));
  }

  momentsOf(layer: Layer, x: Tensor, options?: LayerCallOptions): Promise<SetMoments> {
    return Promise.resolve(drive(momentsOf(this.#executor, layer, x, options)));
  }
}

export class BenchPool {
  readonly threads: number;
  readonly arena = new Arena();
  readonly #executors = new Map<Place | undefined, Executor>();
  readonly #doublers = new Map<number, Doublers>();
  #kernels: LimitKernels | undefined;

  constructor(threads: number) {
    this.threads = threads;
  }

  /** Calls run at `place`; by default where a NormPool runs them. */
  at(place?: Place): Calls {
    return new ExecutorCalls(this.executor(place));
  }

  executor(place?: Place): Executor {
    let executor = this.#executors.get(place);
    if (executor === undefined) {
      executor = this.#make(place);
      this.#executors.set(place, executor);
    }
    return executor;
  }

  /** y = 2x, the bench's ruler. */
  async double(doubling: Doubling, place: Place): Promise<void> {
    if (place === "calling thread") {
      this.#kernels ??= instantiateLimit(this.arena.memory);
      for (let slice = 0; slice < sliceCount(doubling.slices); slice++) computeSlice(this.#kernels, doubling, slice);
      return;
    }
    let doublers = this.#doublers.get(place);
    if (doublers === undefined) {
      doublers = new Doublers(place, this.arena);
      this.#doublers.set(place, doublers);
    }
    await doublers.run(doubling);
  }

  async close(): Promise<void> {
    const all = [...this.#executors.values(), ...this.#doublers.values()];
    await Promise.all(all.map((one) => one.close()));
  }

  /** A held call goes to its place, however small it is. */
  #make(place: Place | undefined): Executor {
    if (place === undefined) return new Executor(this.threads, this.arena);
    if (place === "calling thread") return new Executor(1, this.arena, { placer: () => "calling thread" });
    return new Executor(place, this.arena, { placer: () => "workers" });
  }
}
