// A pool whose calls can be held to the calling thread or to a number of threads, all in one memory: what NormPool decides itself.
import { type BackwardOptions, backward, type Gradients } from "../src/calls/backward.js";
import { forward } from "../src/calls/forward.js";
import { setMoments } from "../src/calls/moments.js";
import type { CallOptions, ForwardOptions, LayerCallOptions } from "../src/calls/options.js";
import { Executor } from "../src/executor.js";
import type { Dtype, Layer, NormPool, OutputDtype, SetMoments, Shape, Tensor } from "../src/index.js";
import type { Start } from "../src/normalize.js";
import { type CellsCode, NONE, type Operands, type Phase, stageBytesOf } from "../src/protocol.js";
import { drive } from "../src/steps.js";
import { Threads } from "../src/threads.js";
import type { Workspace } from "../src/workspace.js";
import { instantiate, kernelModule } from "../workers/kernels.js";
import { runInline } from "../workers/phase.js";

/** What the bench calls of a pool. */
export type Calls = Pick<NormPool, "tensor" | "forward" | "backward" | "setMoments">;

/** Where phases run: on so many threads, or on the calling one. */
export type Place = number | "calling thread";

class BenchExecutor extends Executor {
  /** Undefined: as NormPool decides. */
  place: Place | undefined;
  readonly #crews = new Map<number, Threads>();
  readonly #kernels = instantiate(kernelModule(), this.arena.memory, 0);

  /** A held call goes to its place, however small it is. */
  override isSmall(size: number): boolean {
    return this.place === undefined && super.isSmall(size);
  }

  override starter(
    operation: string,
    size: number,
    cells: CellsCode,
    workspace: Workspace,
    options: CallOptions,
  ): Start {
    const { place } = this;
    if (place === undefined) return super.starter(operation, size, cells, workspace, options);
    return (phases) => {
      const stageBytes = Math.max(...phases.map((phase) => stageBytesOf(phase, cells)));
      const seats = place === "calling thread" ? 1 : place;
      const staging = { stage: stageBytes === 0 ? NONE : workspace.bytes(seats * stageBytes), stageBytes };
      return (phase, operands) => this.run(phase, { ...operands, ...staging }, place);
    };
  }

  run(phase: Phase, operands: Operands, place: Place): void | Promise<void> {
    if (place === "calling thread") return runInline(this.#kernels, phase, operands);
    let crew = this.#crews.get(place);
    if (crew === undefined) {
      crew = new Threads(place, this.arena.memory, kernelModule());
      this.#crews.set(place, crew);
    }
    return crew.run("bench", phase, operands, {});
  }

  override async close(): Promise<void> {
    await Promise.all([super.close(), ...[...this.#crews.values()].map((crew) => crew.close())]);
  }
}

/** The same calls as a NormPool's, held to a place. */
class HeldCalls implements Calls {
  readonly #executor: BenchExecutor;
  readonly #place: Place | undefined;

  constructor(executor: BenchExecutor, place: Place | undefined) {
    this.#executor = executor;
    this.#place = place;
  }

  tensor<D extends Dtype>(dtype: D, shape: Shape): Tensor<D> {
    return this.#executor.allocate("bench", dtype, shape, true);
  }

  forward<D extends Dtype>(layer: Layer, x: Tensor<D>, options?: ForwardOptions): Promise<Tensor<OutputDtype<D>>> {
    return Promise.resolve(forward(this.#held(), layer, x, options));
  }

  backward<D extends Dtype>(layer: Layer, options: BackwardOptions<D>): Promise<Gradients<D>> {
    return Promise.resolve(drive(backward<D>(this.#held(), layer, options)));
  }

  setMoments(layer: Layer, x: Tensor, options?: LayerCallOptions): Promise<SetMoments> {
    return Promise.resolve(drive(setMoments(this.#held(), layer, x, options)));
  }

  /** A call asks for its place before it first waits for anything. */
  #held(): BenchExecutor {
    this.#executor.place = this.#place;
    return this.#executor;
  }
}

export class BenchPool {
  readonly threads: number;
  readonly #executor: BenchExecutor;

  constructor(threads: number) {
    this.threads = threads;
    this.#executor = new BenchExecutor(threads);
  }

  /** Calls run at `place`; by default where a NormPool runs them. */
  at(place?: Place): Calls {
    return new HeldCalls(this.#executor, place);
  }

  /** A phase of the bench's own. */
  async run(phase: Phase, operands: Operands, place: Place): Promise<void> {
    await this.#executor.run(phase, operands, place);
  }

  /** Bytes for the inside of phases, for as long as the pool lives. */
  bytes(bytes: number): number {
    return this.#executor.arena.take("bench", bytes);
  }

  close(): Promise<void> {
    return this.#executor.close();
  }
}
