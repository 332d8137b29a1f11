"""Focal loss of labels of their own, forward and backward: torchvision's formula, and ours; both compiled.

alpha = 0.25, gamma = 2, one label in ten is present; the formula of `torchvision.ops.sigmoid_focal_loss` is written
out, since torchvision is not needed for it. `F.binary_cross_entropy_with_logits` stands beside as what PyTorch has in
one kernel. The gradient from above is 3. Extra memory is beyond input, target and gradient. The floor reads input and
target twice and writes the gradient once, at the bandwidth of an addition.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

import lossmith
from bench import naive, plots
from bench.measure import Device, adding
from bench.plots import Curve
from bench.report import Part, Timings
from bench.ways import BYTES, MANY, SECONDS, Asked, Way, compiled, measured, step

Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """Elements, and which targets hold."""

    elements: int
    dtype: torch.dtype
    asked: str = ""  # nothing


SIZES = {"cpu": Size(20_000_000, torch.float32, "cpu"), "cuda": Size(1_000_000_000, torch.bfloat16, "cuda")}
SMALL = {"elements": 100, "asked": ""}
FIRST = "torchvision's formula"


def ours() -> Formula:
    return lossmith.FocalLoss(link="sigmoid", alpha=0.25, gamma=2.0)


def makes() -> dict[str, Callable[[], Formula]]:
    """Each way, made when it is needed."""
    return {
        FIRST: lambda: naive.focal_torchvision,
        f"{FIRST}, torch.compile": lambda: compiled(naive.focal_torchvision),
        "F.binary_cross_entropy_with_logits": lambda: F.binary_cross_entropy_with_logits,
        "ours": ours,
        "ours, compile()": lambda: compiled(ours()),
    }


def asked(size: Size, way: str) -> tuple[Asked, ...]:
    """What was asked before ours was written."""
    if not size.asked:
        return ()
    if way == "ours, compile()":
        fast = (Asked(2.5, "ms"),) if size.asked == "cuda" else (Asked(0.1, FIRST),)
        return (*fast, Asked(1.05, f"{FIRST}, torch.compile"))
    return (Asked(0.3, FIRST),) if (way, size.asked) == ("ours", "cpu") else ()


def timings(size: Size, on: Device, budget: float = 3 * SECONDS) -> Timings:
    """All ways in turns; labels in the input's dtype, as torchvision wants them, and of ours as bytes too."""
    generator = torch.Generator(on.name).manual_seed(0)
    z = torch.randn(size.elements, generator=generator, dtype=size.dtype, device=on.name).mul_(2).requires_grad_()
    present = torch.rand(size.elements, generator=generator, dtype=size.dtype, device=on.name) < 0.1
    found = []
    for kind, target in (("labels as the input", present.to(size.dtype)), ("labels of one byte", present.byte())):
        floor = {BYTES: 3 * z.nbytes + 2 * target.nbytes}
        for name, make in makes().items():
            if target.dtype == size.dtype or name.startswith("ours"):
                goal = asked(size, name) if target.dtype == size.dtype else ()
                build = partial(lambda make, target: step(make(), (z,), target), make, target)
                same = name != "F.binary_cross_entropy_with_logits"
                found.append(Way(kind, name, build, floor, z.nbytes, goal, same))
    return measured(found, {BYTES: adding(z.nbytes, on)}, on, rounds=MANY, budget=budget)


def report(on: Device, size: Size) -> list[Part]:
    """The table."""
    return [f"{size.elements:,} elements, {str(size.dtype).removeprefix('torch.')}:", timings(size, on)]


def curves(on: Device, size: Size) -> list[Curve]:
    """Over elements."""
    sizes = {n: replace(size, elements=n) for n in sorted({max(size.elements // 10**k, 2) for k in range(5)})}
    points = {n: partial(timings, one, on, plots.SECONDS) for n, one in sizes.items()}
    return [Curve("sigmoid-elements", "Binary focal loss", "elements", points)]
