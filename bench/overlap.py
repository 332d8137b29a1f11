"""Dice and Tversky of pictures and volumes, forward and backward, against MONAI and segmentation-models-pytorch.

Logits of 4 classes and class indices. MONAI computes one overlap per sample, segmentation-models one for the batch, and
so do we against each. "formula" is MONAI's as one writes it: softmax, one-hot targets, sums. The gradient from above is
3. Extra memory is beyond logits, targets and gradient. The floor reads logits and targets twice, once for the sums and
once for the gradient, which it writes once, at the bandwidth of an addition. A value "off" is a relative difference
from the first way of the case.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor

import lossmith
from bench import naive, peers, plots
from bench.measure import Device, adding
from bench.plots import Curve, lengths
from bench.report import Part, Timings
from bench.ways import BYTES, SECONDS, Asked, Way, compiled, measured, step

Formula = Callable[[Tensor, Tensor], Tensor]
Makes = dict[str, Callable[[], Formula]]


@dataclass(frozen=True)
class Size:
    """Shapes of logits, and which targets hold, for the last of them."""

    shapes: tuple[tuple[int, ...], ...]
    dtype: torch.dtype
    asked: str = ""  # nothing


SIZES = {
    "cpu": Size(((4, 4, 256, 256), (2, 4, 96, 96, 96), (8, 4, 512, 512)), torch.float32, "cpu"),
    "cuda": Size(((60, 4, 2048, 2048),), torch.bfloat16, "cuda"),
}
SMALL = {"shapes": ((2, 3, 8, 8),), "asked": ""}
FORMULAS = {"dice": naive.dice, "tversky(alpha=0.3, beta=0.7)": naive.tversky}


def monai(text: str) -> Formula:
    """Our counterparts by specification; MONAI wants an axis of classes in the target."""
    from monai.losses import DiceLoss, TverskyLoss

    if text == "dice":
        loss: Any = DiceLoss(softmax=True, to_onehot_y=True, smooth_nr=2, smooth_dr=2)
    else:
        loss = TverskyLoss(softmax=True, to_onehot_y=True, smooth_nr=1, smooth_dr=1, alpha=0.3, beta=0.7)
    return lambda z, y: loss(z, y[:, None])


def segmentation_models(text: str) -> Formula:
    """Its Dice is a Tversky index, as ours is, so one smooth serves all three."""
    name = "segmentation_models_pytorch"
    if not peers.prepare(name):
        raise ModuleNotFoundError(name=name)
    losses: Any = importlib.import_module(f"{name}.losses")
    if text.startswith("tversky"):
        return losses.TverskyLoss("multiclass", smooth=1.0, alpha=0.3, beta=0.7)
    return (losses.DiceLoss if text.startswith("dice") else losses.JaccardLoss)("multiclass", smooth=1.0)


def cases() -> dict[str, Makes]:
    """The ways of each loss, made when they are needed."""
    found: dict[str, Makes] = {}
    for text, formula in FORMULAS.items():
        found[text] = {
            "MONAI": partial(monai, text),
            "formula": lambda f=formula: f,
            "formula, torch.compile": lambda f=formula: compiled(f),
            "ours": partial(lossmith.create, text),
            "ours, compile()": lambda t=text: compiled(lossmith.create(t)),
        }
    for text in ("dice(per=batch)", "jaccard(per=batch)", "tversky(alpha=0.3, beta=0.7, per=batch)"):
        found[text] = {
            "segmentation-models": partial(segmentation_models, text),
            "ours": partial(lossmith.create, text),
        }
    return found


def asked(size: Size, shape: tuple[int, ...], case: str, way: str) -> tuple[Asked, ...]:
    """What was asked before ours was written, at the last shape."""
    if not size.asked or shape != size.shapes[-1] or way != "ours" or case not in FORMULAS:
        return ()
    if size.asked == "cuda":
        return (Asked(3.0, "ms"),)
    return Asked(0.6, "MONAI"), Asked(0.3, "MONAI", memory=True)


def timings(
    size: Size, shape: tuple[int, ...], on: Device, only: tuple[str, ...] = (), budget: float = SECONDS
) -> Timings:
    """All cases of a shape, each in turns, or those that are named."""
    generator = torch.Generator(on.name).manual_seed(0)
    z = torch.randn(shape, generator=generator, dtype=size.dtype, device=on.name).requires_grad_()
    y = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator, device=on.name)
    floor, found = {BYTES: 3 * z.nbytes + 2 * y.nbytes}, []
    for case, makes in cases().items():
        for name, make in makes.items():
            if not only or case in only:
                build = partial(lambda make: step(make(), (z,), y), make)
                found.append(Way(case, name, build, floor, z.nbytes, asked(size, shape, case, name)))
    return measured(found, {BYTES: adding(z.nbytes, on)}, on, budget=budget)


def report(on: Device, size: Size) -> list[Part]:
    """A table for each shape."""
    parts: list[Part] = []
    for shape in size.shapes:
        head = f"{' x '.join(map(str, shape))}, {str(size.dtype).removeprefix('torch.')}:"
        parts += [head, timings(size, shape, on)]
    return parts


def curves(on: Device, size: Size) -> list[Curve]:
    """Dice over pixels, of pictures of the last shape's classes."""
    batch, classes, *sides = size.shapes[-1]
    shapes = {n * prod(sides) * classes: (n, classes, *sides) for n in lengths(batch)}
    points = {n: partial(timings, size, shape, on, ("dice",), plots.SECONDS) for n, shape in shapes.items()}
    return [Curve("overlap-elements", f"Dice of {classes} classes", "elements (pixels x classes)", points)]
