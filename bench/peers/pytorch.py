"""PyTorch's side of `npm run bench -- peers`."""

import time

import torch
from conversation import converse
from torch import nn

CHANNELS = 64
WIDTH = 1024
GROUPS = 32
EPS = 1e-5


def layer_of(name):
    kind = name.split(" ")[0]
    if kind == "LayerNorm":
        return nn.LayerNorm(WIDTH, eps=EPS)
    if kind == "RMSNorm":
        return nn.RMSNorm(WIDTH, eps=EPS)
    if kind == "GroupNorm":
        return nn.GroupNorm(GROUPS, CHANNELS, eps=EPS)
    if kind == "InstanceNorm":
        return nn.InstanceNorm2d(CHANNELS, eps=EPS)
    layer = nn.BatchNorm2d(CHANNELS, eps=EPS)
    return layer.eval() if name.endswith("evaluation") else layer


def tensor_at(path, shape):
    size = 1
    for n in shape:
        size *= n
    # A copy: what is timed reads memory, not a file that is mapped.
    return torch.from_file(path, size=size, dtype=torch.float32).clone().reshape(shape)


def prepare(ask):
    torch.set_num_threads(ask["threads"])
    layer = layer_of(ask["call"])
    x = tensor_at(ask["x"], ask["shape"])
    if not ask["backward"]:

        def call():
            with torch.no_grad():
                return layer(x)

        return call
    g = tensor_at(ask["g"], ask["shape"])
    x.requires_grad_()
    y = layer(x)
    wanted = [x, *layer.parameters()]
    return lambda: torch.autograd.grad(y, wanted, g, retain_graph=True)[0]


call = None


def answer_to(ask):
    global call
    if ask["do"] == "prepare":
        call = prepare(ask)
        result = call()
        torch.from_file(ask["result"], shared=True, size=result.numel(), dtype=torch.float32).copy_(result.reshape(-1))
    elif ask["do"] == "run":
        start = time.perf_counter()
        result = call()
        return {"milliseconds": (time.perf_counter() - start) * 1000}
    else:
        call = None


converse(torch.__version__, answer_to)
