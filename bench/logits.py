"""Losses of rows of logits, forward and backward: PyTorch's or the formula as written by hand, and ours; both compiled.

"eager" is `F.cross_entropy` where it has the loss (of bf16 logits made float32, as trainers do), the usual formula on
one-hot targets for focal, and the formula of the target's probability for the others; "torch.compile" is that of the
latter. The gradient from above is 3. Extra memory is beyond the logits and their gradient. The floor reads the logits
twice and writes the gradient once, at the bandwidth of an addition; ignored rows are not read. A value "off" is a
relative difference from the first way of the case.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

import lossmith
from bench import fused, naive, plots
from bench.measure import Device, Run, adding
from bench.plots import Curve, lengths
from bench.report import Part, Timings
from bench.ways import BYTES, MANY, SECONDS, Asked, Way, compiled, measured, step

Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """Rows and classes, and which targets hold."""

    rows: int
    classes: int
    dtype: torch.dtype
    asked: str = ""  # nothing
    kinds: tuple[str, ...] = ("random",)


SIZES = {
    "cpu": Size(2048, 32_000, torch.float32, "cpu"),
    "cuda": Size(8192, 128_256, torch.bfloat16, "cuda", ("random", "peaked")),
}
SMALL = {"rows": 24, "classes": 50, "asked": ""}
MEGABYTES = 26  # a tenth of the logits: nothing of their size


@dataclass(frozen=True)
class Case:
    """A loss as written by hand, in eager mode and for a compiler, and how ours is made."""

    eager: Formula
    fused: Formula
    ours: Callable[[], Formula]


def cases(weight: Tensor) -> dict[str, Case]:
    """All losses; ours is made anew for each way, as compiling changes it in place."""

    def cross_entropy(**options: Tensor | float) -> Formula:
        return lambda z, y: F.cross_entropy(z.float(), y, **options)

    def plain(formula: Formula, spec: str) -> Case:
        return Case(formula, formula, lambda: lossmith.create(spec))

    weighted = cross_entropy(weight=weight)
    return {
        "cross-entropy": plain(cross_entropy(), "cross_entropy"),
        "focal": Case(naive.one_hot_focal, naive.focal, lambda: lossmith.create("focal(gamma=2)")),
        "smoothing": plain(cross_entropy(label_smoothing=0.1), "cross_entropy(label_smoothing=0.1)"),
        "class weights": Case(weighted, weighted, lambda: lossmith.CrossEntropyLoss(weight=weight).to(weight.device)),
        "generalised": plain(naive.generalized_cross_entropy, "generalized_cross_entropy(q=0.7)"),
        "poly": plain(naive.poly, "poly(epsilon=1)"),
        "z-loss": plain(naive.z_loss, "z"),
        "cross-entropy + z": plain(naive.cross_entropy_and_z, "cross_entropy + 0.0001*z"),
        "half ignored": plain(cross_entropy(), "cross_entropy"),
    }


def asked(size: Size, case: str, way: str) -> tuple[Asked, ...]:
    """What was asked before ours was written; of the other losses what would show that they got slower."""
    if not size.asked or not way.startswith("ours"):
        return ()
    if way == "ours, compile()":
        return (Asked(1.05, "torch.compile"),)
    if size.asked == "cuda":
        return (Asked(1.6, "ms"),) if case == "cross-entropy" else (Asked(1.05, "ours", case="cross-entropy"),)
    return {
        "cross-entropy": (Asked(0.45, "eager"), Asked(MEGABYTES, "MB")),
        "smoothing": (Asked(0.6, "eager"),),
        "class weights": (Asked(0.6, "eager"),),
        "poly": (Asked(0.6, "eager"),),
        "half ignored": (Asked(0.6, "eager"),),
        "focal": (Asked(1.15, "ours", case="cross-entropy"), Asked(0.2, "eager")),
    }.get(case, ())


def data(size: Size, on: Device, kind: str) -> tuple[Tensor, Tensor]:
    """Logits and targets; peaked, nine rows in ten are as sure as those of a trained model."""
    generator = torch.Generator(on.name).manual_seed(0)
    shape = (size.rows, size.classes)
    z = torch.randn(shape, generator=generator, dtype=size.dtype, device=on.name).mul_(2)
    y = torch.randint(0, size.classes, (size.rows,), generator=generator, device=on.name)
    if kind == "peaked":
        sure = torch.rand(size.rows, generator=generator, device=on.name) < 0.9
        z.scatter_add_(1, y[:, None], 20 * sure.to(size.dtype)[:, None])
    return z.requires_grad_(), y


def ways(size: Size, on: Device, z: Tensor, y: Tensor) -> list[Way]:
    """Every way of every case."""
    weight = torch.rand(size.classes, generator=torch.Generator().manual_seed(1)).add_(0.5).to(on.name)
    half = torch.where(torch.arange(size.rows, device=on.name) % 2 == 0, y, -100)
    found = []
    for name, case in cases(weight).items():
        target = half if name == "half ignored" else y
        makes: dict[str, Callable[[], Run]] = {
            "eager": lambda c=case, t=target: step(c.eager, (z,), t),
            "torch.compile": lambda c=case, t=target: step(compiled(c.fused), (z,), t),
            "ours": lambda c=case, t=target: step(c.ours(), (z,), t),
            "ours, compile()": lambda c=case, t=target: step(compiled(c.ours()), (z,), t),
        }
        if name == "cross-entropy":
            makes["liger-kernel"] = lambda: step(fused.liger_logits(on), (z.detach().clone().requires_grad_(),), y)
        floor = {BYTES: (2 if name == "half ignored" else 3) * z.nbytes}
        found += [Way(name, way, build, floor, z.nbytes, asked(size, name, way)) for way, build in makes.items()]
    return found


def timings(size: Size, on: Device, kind: str, only: tuple[str, ...] = (), budget: float = 4 * SECONDS) -> Timings:
    """All cases, each in turns, or those that are named."""
    z, y = data(size, on, kind)
    some = [way for way in ways(size, on, z, y) if not only or way.case in only]
    return measured(some, {BYTES: adding(z.nbytes, on)}, on, rounds=MANY, budget=budget)


def report(on: Device, size: Size) -> list[Part]:
    """A table for each kind of logits."""
    parts: list[Part] = []
    for kind in size.kinds:
        shape = f"{size.rows:,} x {size.classes:,} {kind} logits, {str(size.dtype).removeprefix('torch.')}"
        parts += [f"{shape}:", timings(size, on, kind)]
    return parts


def curves(on: Device, size: Size) -> list[Curve]:
    """Cross-entropy and focal over rows, of an eighth of the classes, and over classes, of a quarter of the rows."""
    rows, classes = max(size.rows // 4, 1), max(size.classes // 8, 2)
    over_rows = {n: replace(size, rows=n, classes=classes) for n in lengths(size.rows)}
    over_classes = {n: replace(size, rows=rows, classes=n) for n in lengths(size.classes, 2)}

    def points(sizes: dict[int, Size]) -> dict[int, Callable[[], Timings]]:
        only = ("cross-entropy", "focal")
        return {n: partial(timings, one, on, "random", only, plots.SECONDS) for n, one in sizes.items()}

    return [
        Curve("logits-rows", f"Logits of {classes:,} classes", "rows N", points(over_rows)),
        Curve("logits-classes", f"Logits, {rows:,} rows", "classes V", points(over_classes)),
    ]
