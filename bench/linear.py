"""The last layer and its loss together, forward and backward: hidden [N, H] and weight [V, H], gradients in both.

"plain" is `F.linear` and then the loss of its logits (made float32); PyTorch's own function, liger-kernel and
cut-cross-entropy have cross-entropy alone. On a CPU liger-kernel is its fallback in PyTorch, and cut-cross-entropy its
`torch.compile` implementation. Ours is `loss.linear(hidden, weight, target)`. The gradient from above is 3. Extra
memory is beyond hidden, weight and their gradients. The floor is the time of the three matrix products, bare and in one
chunk. Errors are relative: of the value, and of the gradients by their norm, against float64.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

import lossmith
from bench import fused, naive, plots
from bench.measure import Device, gemms
from bench.plots import Curve, lengths
from bench.report import Part, Table, Timings
from bench.ways import OPERATIONS, SECONDS, UPSTREAM, Asked, Way, compiled, measured, reason, step

Formula = Callable[..., Tensor]


@dataclass(frozen=True)
class Size:
    """Rows, features and classes, and which targets hold."""

    rows: int
    features: int
    classes: int
    dtype: torch.dtype
    asked: str = ""  # nothing


SIZES = {
    "cpu": Size(2048, 512, 32_000, torch.float32, "cpu"),
    "cuda": Size(4096, 4096, 128_256, torch.bfloat16, "cuda"),
}
SMALL = {"rows": 24, "features": 8, "classes": 50, "asked": ""}
CE = "cross-entropy"
DROPPING = ("plain", "liger-kernel", "cut-cross-entropy", "ours")  # half of the rows: what may pay
HALF = ("plain", "F.linear_cross_entropy, chunked", "ours")  # half precision on a CPU, where matrix products are slow


def plain(loss: Formula) -> Formula:
    """The logits, and their loss."""
    return lambda hidden, weight, target: loss(F.linear(hidden, weight), target)


def ours(loss: torch.nn.Module) -> Formula:
    """The loss without the logits."""
    return loss.linear


def peers(on: Device) -> dict[str, Callable[[], Formula]]:
    """Other libraries' fused cross-entropy."""
    return {
        "F.linear_cross_entropy": lambda: fused.torch_linear(chunked=False),
        "F.linear_cross_entropy, chunked": lambda: fused.torch_linear(chunked=True),
        "liger-kernel": lambda: fused.liger(on),
        "cut-cross-entropy": lambda: fused.cut_cross_entropy(on),
    }


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z.float(), y)


def formulas(on: Device, size: Size) -> dict[str, dict[str, Callable[[], Formula]]]:
    """The ways of each case, made when they are needed."""
    weight = torch.rand(size.classes, generator=torch.Generator().manual_seed(1)).add_(0.5).to(on.name)
    smooth = partial(F.cross_entropy, label_smoothing=0.1)
    weighted = partial(F.cross_entropy, weight=weight)
    own = {
        "focal": (naive.focal, lambda: lossmith.create("focal(gamma=2)")),
        "smoothing": (lambda z, y: smooth(z.float(), y), lambda: lossmith.CrossEntropyLoss(label_smoothing=0.1)),
        "class weights": (
            lambda z, y: weighted(z.float(), y),
            lambda: lossmith.CrossEntropyLoss(weight=weight).to(on.name),
        ),
        "cross-entropy + z": (naive.cross_entropy_and_z, lambda: lossmith.create("cross_entropy + 0.0001*z")),
    }
    every = {
        "plain": lambda: plain(cross_entropy),
        "plain, torch.compile": lambda: compiled(plain(cross_entropy)),
        **peers(on),
        "ours": lambda: ours(lossmith.CrossEntropyLoss()),
        "ours, torch.compile": lambda: compiled(ours(lossmith.CrossEntropyLoss())),
    }
    found = {CE: every, "half ignored": {name: every[name] for name in DROPPING}}
    for name, (formula, make) in own.items():
        found[name] = {"plain": lambda f=formula: plain(f), "ours": lambda m=make: ours(m())}
    return found


def asked(size: Size, case: str) -> tuple[Asked, ...]:
    """What was asked before ours was written."""
    if not size.asked:
        return ()
    if size.asked == "cpu":
        own = (Asked(0.95, "plain"), Asked(1.15, "floor"), Asked(0.25, "plain", memory=True))
        return own if case == CE else ()
    if case == CE:
        return Asked(18.5, "ms"), Asked(1100, "MB")
    return (Asked(9.5, "ms"),) if case == "half ignored" else (Asked(1.05, "ours", case=CE),)


def data(size: Size, on: Device) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden, weight and targets, so that logits are normal with a deviation of 2."""
    generator = torch.Generator(on.name).manual_seed(0)
    options = {"generator": generator, "dtype": size.dtype, "device": on.name}
    hidden = torch.randn(size.rows, size.features, **options).requires_grad_()
    weight = torch.randn(size.classes, size.features, **options).mul_(2 / size.features**0.5).requires_grad_()
    return hidden, weight, torch.randint(0, size.classes, (size.rows,), generator=generator, device=on.name)


def timings(
    size: Size, on: Device, only: tuple[str, ...] = (), budget: float = 2 * SECONDS, names: tuple[str, ...] = ()
) -> Timings:
    """All cases, each in turns, and all of their ways; or those that are named."""
    hidden, weight, y = data(size, on)
    half = torch.where(torch.arange(size.rows, device=on.name) % 2 == 0, y, -100)
    yardstick, gradients, found = gemms(hidden, weight), hidden.nbytes + weight.nbytes, []
    for case, makes in formulas(on, size).items():
        target, floor = (half, yardstick.amount / 2) if case == "half ignored" else (y, yardstick.amount)
        for name, make in makes.items():
            if (not only or case in only) and (not names or name in names):
                goal = asked(size, case) if name == "ours" else ()
                build = partial(lambda make, target: step(make(), (hidden, weight), target), make, target)
                found.append(Way(case, name, build, {OPERATIONS: floor}, gradients, goal))
    return measured(found, {OPERATIONS: yardstick}, on, budget=budget)


def errors(size: Size, on: Device) -> Table:
    """What half precision costs each way of cross-entropy, against float64 of the same numbers."""
    hidden, weight, y = data(size, on)
    exact = gradients(plain(F.cross_entropy), hidden.double(), weight.double(), y)
    cells = []
    for name, make in formulas(on, size)[CE].items():
        try:
            found = gradients(make(), hidden, weight, y)
        except Exception as error:
            cells.append([name, reason(error), "", ""])
        else:
            pairs = zip(found, exact, strict=True)
            cells.append([name, *(f"{float((a.double() - b).norm() / b.norm()):.1e}" for a, b in pairs)])
    return Table([f"{CE}, {str(size.dtype).removeprefix('torch.')}", "value", "d hidden", "d weight"], cells)


def gradients(loss: Formula, hidden: Tensor, weight: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """The value of a loss and its gradients in hidden and weight."""
    leaves = hidden.detach().requires_grad_(), weight.detach().requires_grad_()
    value = loss(*leaves, target)
    slopes = torch.autograd.grad(UPSTREAM * value, leaves)
    return value.detach(), *(slope / UPSTREAM for slope in slopes)


def report(on: Device, size: Size) -> list[Part]:
    """All losses; cross-entropy in bf16 too; errors in bf16."""
    half = replace(size, dtype=torch.bfloat16)
    parts: list[Part] = [_head(size), timings(size, on)]
    if half != size:
        parts += [_head(half), timings(replace(half, asked=""), on, (CE,), names=HALF)]
    return [*parts, errors(half, on)]


def _head(size: Size) -> str:
    shape = f"{size.rows:,} rows, {size.features:,} features, {size.classes:,} classes"
    return f"{shape}, {str(size.dtype).removeprefix('torch.')}:"


def curves(on: Device, size: Size) -> list[Curve]:
    """Cross-entropy over rows, of an eighth of the classes, and over classes, of a quarter of the rows."""
    rows, classes = max(size.rows // 4, 1), max(size.classes // 8, 2)
    over_rows = {n: replace(size, rows=n, classes=classes) for n in lengths(size.rows)}
    over_classes = {n: replace(size, rows=rows, classes=n) for n in lengths(size.classes, 2)}

    def points(sizes: dict[int, Size]) -> dict[int, Callable[[], Timings]]:
        return {n: partial(timings, one, on, (CE,), plots.SECONDS) for n, one in sizes.items()}

    return [
        Curve("linear-rows", f"Linear layer and loss, {classes:,} classes", "rows N", points(over_rows)),
        Curve("linear-classes", f"Linear layer and loss, {rows:,} rows", "classes V", points(over_classes)),
    ]
