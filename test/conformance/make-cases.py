"""Makes further conformance cases with PyTorch, and measures PyTorch's own error. Needs torch 2.13.0 (CPU) and numpy 2.

    python3 make-cases.py            writes further-<Op>.jsonl beside this script, one case a line
    python3 make-cases.py --errors   writes torch-errors.json and prints it as a table

A line has `case`, `op`, `attrs` (`args`, `kwargs`, `training`), `inputs`, `outputs`, `tolerance`, and where they apply:
- `attrs.channel_axis`: the data tensors are written with the channel axis last; torch computed them channels first.
- `reference`: the same inputs in float64. Not for float64 cases (it would be `outputs`) nor for non-finite inputs.
- `torch_overflows`: torch is not finite somewhere where the reference, rounded to the same dtype, is.
A tensor is {dtype, shape, data}, row-major; NaN, Infinity and -Infinity are strings, as JSON has no numbers for them. A
float32 is the shortest decimal that rounds to it: round what is read to float32 before computing with it in float64.
"""
import copy
import json
import math
import sys
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
TOLERANCE = {"float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7), "float16": (1e-3, 1e-3), "bfloat16": (1.6e-2, 1e-2)}
MEASURED = ("output", "grad_input", "grad_weight")
INF, NAN = math.inf, math.nan
AFFINE, TRACKED = {"affine": True}, {"affine": True, "track_running_stats": True}
# One small form of each layer, for the families of cases that go over several layers: (args, shape, kwargs).
COMMON = {
    "LayerNorm": ([[33]], [2, 33], {}),
    "RMSNorm": ([[33]], [2, 33], {}),
    "GroupNorm": ([2, 6], [2, 6, 7], {}),
    "BatchNorm2d": ([3], [2, 3, 3, 5], {}),
    "InstanceNorm2d": ([3], [2, 3, 3, 5], TRACKED),
}
SPACE = {1: [7], 2: [5, 2], 3: [3, 1, 2]}


@dataclass
class Case:
    op: str
    what: str
    args: list
    shape: list  # channels first, whatever the order in the file
    kwargs: dict = field(default_factory=dict)
    training: bool = True
    dtype: str = "float32"
    parameters: str | None = None  # their dtype: by default float32 beside a half input, else the input's
    mean: float = 0
    deviation: float = 1
    input_cells: dict = field(default_factory=dict)  # values to plant: {index: value}
    grad_cells: dict = field(default_factory=dict)
    channels_last: int | None = None  # which axis of `shape` the file has last

    @property
    def name(self):
        mode = ("train." if self.training else "eval.") if has_modes(self.op) else ""
        return f"{self.op}.{self.dtype}.{mode}{self.what}"


def has_modes(op):
    return op.startswith(("BatchNorm", "InstanceNorm"))


def in_both_modes(op, *args, **options):
    for training in (True, False) if has_modes(op) else (True,):
        yield Case(op, *args, training=training, **options)


def magnitudes():
    for op, (args, shape, kwargs) in COMMON.items():
        for mean in ("1e2", "1e4", "1e6"):
            yield from in_both_modes(op, f"mean-{mean}", args, shape, kwargs, mean=float(mean))
        for size in ("1e30", "1e-20", "1e-30"):
            yield Case(op, f"around-{size}", args, shape, kwargs, mean=float(size), deviation=float(size))
    # Whether torch's overflow shows as NaN, as here, or as a scale of 0, as with 33 cells, hangs on the length.
    yield Case("LayerNorm", "around-1e30.64-cells", [[64]], [2, 64], mean=1e30, deviation=1e30)
    yield Case("GroupNorm", "around-1e30.64-cells", [1, 8], [2, 8, 8], mean=1e30, deviation=1e30)
    # Sets long enough for every way of summing to show. Without weights of that length the files stay small.
    yield Case("LayerNorm", "mean-1e6.4096-cells", [[4096], 1e-5, False], [1, 4096], mean=1e6)
    yield Case("GroupNorm", "mean-1e4.4096-cells", [1, 8], [1, 8, 512], mean=1e4)


def non_finite():
    # A layer, and a cell in each of two sets; the other sets have none.
    places = [
        ("LayerNorm", [[5]], [4, 5], {}, (0, 3), (2, 1)),
        ("RMSNorm", [[5]], [4, 5], {}, (0, 3), (2, 1)),
        ("GroupNorm", [2, 4], [2, 4, 3], {}, (0, 1, 2), (1, 2, 0)),
        ("BatchNorm2d", [4], [2, 4, 2, 3], {}, (1, 0, 1, 0), (0, 2, 0, 1)),
        ("InstanceNorm2d", [3], [2, 3, 2, 3], TRACKED, (0, 0, 1, 0), (1, 2, 0, 1)),
        ("LocalResponseNorm", [3, 0.5], [2, 6, 4], {}, (0, 1, 2), (1, 3, 0)),
    ]
    for op, args, shape, kwargs, first, second in places:
        for what, values in {"nan": (NAN,), "infinity": (INF, -INF), "nan-and-infinity": (-INF, NAN)}.items():
            cells = dict(zip((first, second), values))
            yield from in_both_modes(op, f"{what}-in-input", args, shape, kwargs, input_cells=cells)
        for what, values in {"nan": (NAN,), "infinity": (INF, -INF)}.items():
            cells = dict(zip((first, second), values))
            yield from in_both_modes(op, f"{what}-in-grad-output", args, shape, kwargs, grad_cells=cells)


def channels_last():
    for rank, space in SPACE.items():
        shape = [2, 4, *space]
        for op, args, kwargs in (
            (f"BatchNorm{rank}d", [4], {}),
            (f"InstanceNorm{rank}d", [4], TRACKED),
            ("GroupNorm", [2, 4], {}),
        ):
            yield from in_both_modes(op, f"channels-last.rank-{rank + 2}", args, shape, kwargs, channels_last=1)
        yield Case(f"InstanceNorm{rank}d", "channels-last.unbatched", [4], shape[1:], AFFINE, channels_last=0)
    for op in ("GroupNorm", "BatchNorm2d", "InstanceNorm2d"):
        args, shape, kwargs = COMMON[op]
        yield Case(op, "channels-last.mean-1e6", args, shape, kwargs, mean=1e6, channels_last=1)
        for dtype in ("float64", "float16", "bfloat16"):
            yield Case(op, "channels-last", args, shape, kwargs, dtype=dtype, channels_last=1)


def odd_sizes():
    for size in (1, 2, 3, 5, 7, 17, 33, 257):
        yield Case("LayerNorm", f"size-{size}", [size], [2, size])
        yield Case("RMSNorm", f"size-{size}", [size], [2, size])
        yield Case("GroupNorm", f"size-{size}.one-group", [1, size], [2, size, 1])
        yield Case("BatchNorm1d", f"size-{size}", [size], [3, size])
        if size > 1:
            yield Case("GroupNorm", f"size-{size}.group-a-channel", [2, 2], [1, 2, size])
            yield Case("InstanceNorm1d", f"size-{size}", [2], [1, 2, size], AFFINE)
    yield Case("BatchNorm1d", "size-33", [33], [3, 33], training=False)
    yield Case("GroupNorm", "one-value-a-group", [4, 4], [2, 4])
    yield Case("LayerNorm", "size-1.mean-1e6", [1], [5, 1], mean=1e6)
    yield Case("BatchNorm2d", "two-values-a-channel", [1], [1, 1, 1, 2])
    yield Case("BatchNorm3d", "prime-sizes", [3], [2, 3, 5, 1, 7], {"eps": 1e-12})
    yield Case("InstanceNorm2d", "two-values-a-channel", [1], [1, 1, 2, 1], TRACKED)
    yield Case("InstanceNorm1d", "one-value-a-channel", [3], [2, 3, 1], TRACKED, training=False)
    yield Case("InstanceNorm3d", "prime-sizes", [3], [2, 3, 5, 1, 7], {"eps": 1e-12, **AFFINE})
    for op in ("LayerNorm", "RMSNorm"):
        yield Case(op, "one-set-is-the-tensor", [[17], 1e-3], [17])
        yield Case(op, "normalized-2x3x5", [[2, 3, 5]], [3, 2, 3, 5])
        yield Case(op, "normalized-3x1x7", [[3, 1, 7], 1e-2], [2, 1, 3, 1, 7])
        yield Case(op, "outer-2x3x5", [[7]], [2, 3, 5, 7])


def options():
    yield Case("LayerNorm", "affine-false", [[7]], [5, 7], {"elementwise_affine": False})
    yield Case("LayerNorm", "bias-false", [[7]], [5, 7], {"bias": False})
    yield Case("RMSNorm", "affine-false", [[7]], [5, 7], {"elementwise_affine": False})
    yield Case("GroupNorm", "affine-false", [3, 6], [2, 6, 5], {"affine": False})
    yield Case("GroupNorm", "bias-false", [3, 6], [2, 6, 5], {"bias": False})
    changes = {
        "affine-false": {"affine": False},
        "bias-false": {"bias": False},
        "untracked": {"track_running_stats": False},
        "momentum-none": {"momentum": None},
        "momentum-0.7.eps-1e-2": {"momentum": 0.7, "eps": 1e-2},
    }
    for rank, space in SPACE.items():
        for what, kwargs in changes.items():
            yield from in_both_modes(f"BatchNorm{rank}d", what, [3], [2, 3, *space], kwargs)
            yield from in_both_modes(f"InstanceNorm{rank}d", what, [3], [2, 3, *space], TRACKED | kwargs)
        yield from in_both_modes(f"InstanceNorm{rank}d", "unbatched", [3], [3, *space], TRACKED)


def empty():
    # Left out: InstanceNorm of no samples with weights (torch raises) or with buffers (they turn NaN), and GroupNorm
    # of samples without space (torch's grad_weight is 0 * Infinity = NaN).
    yield Case("LayerNorm", "no-rows", [5], [0, 5])
    yield Case("LayerNorm", "no-rows.outer-2x0x3", [[5]], [2, 0, 3, 5])
    yield Case("LayerNorm", "no-cells-a-row", [[2, 0]], [3, 2, 0])
    yield Case("RMSNorm", "no-rows", [5], [0, 5])
    yield Case("RMSNorm", "no-cells-a-row", [[2, 0]], [3, 2, 0])
    yield Case("GroupNorm", "no-samples", [2, 4], [0, 4, 3])
    yield Case("LocalResponseNorm", "no-samples", [3], [0, 4, 3])
    for rank, space in SPACE.items():
        shape = [0, 3, *space]
        yield from in_both_modes(f"BatchNorm{rank}d", "no-samples", [3], shape)
        yield from in_both_modes(f"BatchNorm{rank}d", "no-samples.momentum-none", [3], shape, {"momentum": None})
        yield Case(f"InstanceNorm{rank}d", "no-samples", [3], shape)


def dtypes():
    for op, (args, shape, kwargs) in COMMON.items():
        yield from in_both_modes(op, "plain", args, shape, kwargs, dtype="float64")
        yield Case(op, "mean-1e6", args, shape, kwargs, dtype="float64", mean=1e6)
        for dtype in ("float16", "bfloat16"):
            yield from in_both_modes(op, "float32-parameters", args, shape, kwargs, dtype=dtype)
            yield Case(op, "all-parameters-half", args, shape, kwargs, dtype=dtype, parameters=dtype)
            # Near float16's largest number, 65504: no square of these is finite in it.
            yield Case(op, "values-of-1e4", args, shape, kwargs, dtype=dtype, mean=1e4, deviation=1e4)
    for dtype in ("float16", "bfloat16"):
        for op in ("BatchNorm1d", "BatchNorm3d", "InstanceNorm1d", "InstanceNorm3d"):
            kwargs = TRACKED if op.startswith("Instance") else {}
            yield Case(op, "float32-parameters", [3], [2, 3, *SPACE[int(op[-2])]], kwargs, dtype=dtype)
        # Rank 3 only: torch pools no other rank in half precision on a CPU.
        yield Case("LocalResponseNorm", "rank-3", [3, 0.5], [2, 5, 3], dtype=dtype)


def local_response():
    for rank, space in SPACE.items():
        for size in (1, 2, 3, 4, 5, 8):  # the largest is wider than the channels
            yield Case("LocalResponseNorm", f"size-{size}.rank-{rank + 2}", [size, 0.5], [2, 5, *space])
    for beta in (0.5, 0.75, 1.0, 1.3, 2.0):
        for k in (0.5, 1.0, 2.0):
            yield Case("LocalResponseNorm", f"beta-{beta}.k-{k}", [4, 0.1, beta, k], [1, 6, 3])
        for value in ("1e10", "1e15"):
            shape, huge = [1, 6, 3], float(value)
            what, args = f"beta-{beta}.around-{value}", [3, 1e-4, beta]
            yield Case("LocalResponseNorm", what, args, shape, mean=huge, deviation=huge)
    yield Case("LocalResponseNorm", "defaults.mean-1e2", [5], [2, 7, 3], mean=1e2)
    yield Case("LocalResponseNorm", "size-8", [8, 0.5, 1.3, 2.0], [2, 5, 3, 2], dtype="float64")


def randomized(case, random):
    """The layer with a state that shows where each part of it goes: nothing stays 0 or 1."""
    module = getattr(torch.nn, case.op)(*case.args, **case.kwargs).train(case.training)
    half = case.dtype in ("float16", "bfloat16")
    module.to(getattr(torch, case.parameters or ("float32" if half else case.dtype)))
    draws = {
        "weight": lambda shape: 1 + 0.5 * torch.randn(shape, generator=random),
        "bias": lambda shape: torch.randn(shape, generator=random),
        "running_mean": lambda shape: case.mean + case.deviation * torch.randn(shape, generator=random),
        "running_var": lambda shape: 0.5 + torch.rand(shape, generator=random),
        "num_batches_tracked": lambda shape: torch.tensor(3),
    }
    module.load_state_dict({key: draws[key](value.shape) for key, value in module.state_dict().items()})
    return module


def drawn(case, random, mean, deviation, cells):
    values = mean + deviation * torch.randn(case.shape, generator=random, dtype=torch.float64)
    for index, value in cells.items():
        values[index] = value
    return values.to(getattr(torch, case.dtype))


def run(module, x, grad_output):
    x = x.clone().requires_grad_()
    y = module(x)
    y.backward(grad_output)
    results = {"output": y.detach(), "grad_input": x.grad, "state_dict_after": dict(module.state_dict())}
    return results | {f"grad_{name}": parameter.grad for name, parameter in module.named_parameters()}


def in_float64(module, x, grad_output):
    """What `run` would give without rounding: of the state only the statistics, as nothing else is computed."""
    exact = copy.deepcopy(module).double()
    if isinstance(exact, torch.nn.RMSNorm) and exact.eps is None:
        exact.eps = 2.0**-23  # the default follows the dtype, and float16, bfloat16 and float32 compute in float32
    results = run(exact, x.double(), grad_output.double())
    state = results.pop("state_dict_after")
    statistics = {key: state[key] for key in ("running_mean", "running_var") if key in state}
    return results | ({"state_dict_after": statistics} if statistics else {})


def pairs(outputs, reference):
    for key, exact in reference.items():
        if isinstance(exact, dict):
            yield from pairs(outputs[key], exact)
        else:
            yield outputs[key], exact


def torch_error(outputs, reference, rtol):
    """The largest |torch - reference| that rtol does not cover, and whether torch overflowed.

    Half of rtol is left for the side that is compared with torch: it rounds too.
    """
    worst, overflows = 0.0, False
    for ours, exact in pairs(outputs, reference):
        assert exact.isfinite().all()
        finite = ours.isfinite()
        overflows |= bool((exact.to(ours.dtype).isfinite() & ~finite).any())
        excess = ((ours.double() - exact).abs() - rtol / 2 * exact.abs())[finite]
        worst = max(worst, *excess.tolist(), 0.0)
    return worst, overflows


def number(value):
    """An int or float that JSON prints with the fewest digits that give the same bits in its own dtype."""
    if np.issubdtype(type(value), np.integer):
        return int(value)
    return float(str(value)) if np.isfinite(value) else {INF: "Infinity", -INF: "-Infinity"}.get(float(value), "NaN")


def as_json(value):
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    dtype = str(value.dtype).removeprefix("torch.")
    exact = value.double() if dtype in ("float16", "bfloat16") else value
    return {"dtype": dtype, "shape": list(value.shape), "data": [number(cell) for cell in exact.numpy().ravel()]}


def in_file_order(case, results):
    """The data tensors with the channel axis where the file has it; parameters and statistics have no such axis."""
    if case.channels_last is None:
        return results
    data = ("input", "grad_output", "output", "grad_input")
    return {k: v.movedim(case.channels_last, -1) if k in data else v for k, v in results.items()}


def line(case):
    random = torch.Generator().manual_seed(zlib.crc32(case.name.encode()))  # no case changes when another is added
    x = drawn(case, random, case.mean, case.deviation, case.input_cells)
    grad_output = drawn(case, random, 0, 1, case.grad_cells)
    module = randomized(case, random)
    inputs = {"input": x, "grad_output": grad_output, "state_dict": copy.deepcopy(dict(module.state_dict()))}
    reference = None
    if case.dtype != "float64" and x.isfinite().all() and grad_output.isfinite().all():
        reference = in_float64(module, x, grad_output)
    outputs = run(module, x, grad_output)

    rtol, atol = TOLERANCE[case.dtype]
    attrs = {"args": case.args, "kwargs": case.kwargs, "training": case.training}
    if case.channels_last is not None:
        attrs["channel_axis"] = -1
    record = {"case": case.name, "op": case.op, "attrs": attrs}
    record |= {key: as_json(in_file_order(case, part)) for key, part in (("inputs", inputs), ("outputs", outputs))}
    record["tolerance"] = {"rtol": rtol, "atol": atol}
    if reference is not None:
        error, overflows = torch_error(outputs, reference, rtol)
        record["tolerance"]["atol"] = max(atol, float(f"{1.1 * error:.3g}"))
        record["reference"] = as_json(in_file_order(case, reference))
        if overflows:
            record["torch_overflows"] = True
    return json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n"


def write_cases():
    files, names = defaultdict(list), set()
    for family in (magnitudes, non_finite, channels_last, odd_sizes, options, empty, dtypes, local_response):
        for case in family():
            assert case.name not in names, case.name
            names.add(case.name)
            files[case.op].append(line(case))
    for op, lines in files.items():
        (HERE / f"further-{op}.jsonl").write_text("".join(lines))
        print(f"{op:18} {len(lines):4} cases {sum(map(len, lines)):8} bytes")


def normal(length, seed, mean, deviation):
    """Normal float32 numbers: mulberry32, whose state only counts up, then Box-Muller in float64."""
    steps = np.arange(1, length + length % 2 + 1, dtype=np.uint32)
    state = np.uint32(seed) + steps * np.uint32(0x6D2B79F5)
    t = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
    t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    uniform = (t ^ (t >> np.uint32(14))) / 4_294_967_296
    radius, angle = np.sqrt(-2 * np.log(1 - uniform[0::2])), 2 * np.pi * uniform[1::2]
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (mean + deviation * radius[:, None] * waves).ravel()[:length].astype(np.float32)


def torch_errors():
    """torch against float64: 64 sets of 4096 cells of each layer."""
    contiguous, nn = torch.contiguous_format, torch.nn
    layers = [
        ("LayerNorm", nn.LayerNorm(4096), [64, 4096], contiguous),
        ("RMSNorm", nn.RMSNorm(4096), [64, 4096], contiguous),
        ("GroupNorm", nn.GroupNorm(8, 64), [8, 64, 512], contiguous),
        ("GroupNorm channels-last", nn.GroupNorm(8, 64), [8, 64, 16, 32], torch.channels_last),
        ("BatchNorm2d training", nn.BatchNorm2d(64), [8, 64, 16, 32], contiguous),
        ("InstanceNorm2d", nn.InstanceNorm2d(64, affine=True), [1, 64, 64, 64], contiguous),
    ]
    for layer, module, shape, order in layers:
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                seed_and_moments = (3, 1, 0.5) if name == "weight" else (4, 0, 1)
                parameter.copy_(torch.from_numpy(normal(parameter.numel(), *seed_and_moments)))
        for mean in (0, 1e2, 1e4, 1e6):
            module.zero_grad()
            x = torch.from_numpy(normal(64 * 4096, 1, mean, 1)).reshape(shape)
            grad_output = torch.from_numpy(normal(64 * 4096, 2, 0, 1)).reshape(shape)
            exact = in_float64(module, x, grad_output)
            results = run(module, x.contiguous(memory_format=order), grad_output.contiguous(memory_format=order))
            error = {key: (results[key].double() - exact[key]).abs().max().item() for key in MEASURED}
            error["grad_weight"] /= exact["grad_weight"].abs().max().item()
            yield {"layer": layer, "mean": mean} | {key: float(f"{value:.3g}") for key, value in error.items()}


def write_errors():
    rows = list(torch_errors())
    described = {
        "made_with": f"torch {torch.__version__}, CPU, 1 thread",
        "error": "max |torch - float64| of output and grad_input; of grad_weight the same, divided by max |float64|",
        "generator": "normal(length, seed, mean, deviation): mulberry32(seed) gives uniforms u in [0, 1); each two "
        "of them give two float32 numbers by Box-Muller in float64: r = sqrt(-2 ln(1 - u1)), a = 2 pi u2, "
        "then mean + deviation r cos(a) and mean + deviation r sin(a)",
        "inputs": "input = normal(64 * 4096, 1, mean, 1), grad_output = normal(64 * 4096, 2, 0, 1), "
        "weight = normal(C, 3, 1, 0.5), bias = normal(C, 4, 0, 1); row-major, channels first",
        "shapes": "LayerNorm(4096), RMSNorm(4096) [64, 4096]; GroupNorm(8, 64) [8, 64, 512] and, for channels-last, "
        "[8, 64, 16, 32] in torch.channels_last; BatchNorm2d(64) [8, 64, 16, 32]; "
        "InstanceNorm2d(64, affine) [1, 64, 64, 64]",
        "errors": rows,
    }
    (HERE / "torch-errors.json").write_text(json.dumps(described, indent=2) + "\n")
    print("| layer | mean | output | grad_input | grad_weight, relative |\n|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join([row["layer"], f"{row['mean']:g}", *(f"{row[key]:.1e}" for key in MEASURED)]), "|")


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_errors() if sys.argv[1:] == ["--errors"] else write_cases()
