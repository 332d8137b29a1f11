"""Many classes, forward and backward: sampled losses and the adaptive softmax over ever more classes.

The same noise classes serve a whole batch, and targets follow Zipf's law. All gradients are taken, that of the weight
as a dense tensor of all classes or as a sparse one of the rows touched, which are those of targets and noise. The cases
are the losses, so that time over the first is growth with the classes. The full softmax is what one would write without
them, `F.linear` and `F.cross_entropy`; it ends where its logits would take gigabytes, and dense gradients where the
weight's would. The gradient from above is 3. Extra memory is beyond the inputs, gradients included. The floor is the
larger of what must be moved (the rows touched three times; a dense gradient once more) and what must be multiplied, at
rates of the same turns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith
from bench.measure import Device, Run, adding, gemms
from bench.report import Part
from bench.ways import BYTES, OPERATIONS, UPSTREAM, Way, measured, step


@dataclass(frozen=True)
class Size:
    """Numbers of classes, of which `dense` at most have a dense gradient and `full` at most all logits."""

    classes: tuple[int, ...]
    dense: int
    full: int
    rows: int
    features: int
    sampled: int
    cutoffs: tuple[int, ...]


SIZES = {"cpu": Size((10**4, 10**5, 10**6, 10**7), 10**6, 10**5, 512, 32, 8192, (2000, 20_000))}
SMALL = {"classes": (40, 80), "dense": 80, "full": 40, "rows": 8, "features": 16, "sampled": 6, "cutoffs": (5, 20)}
LOSSES = (lossmith.SampledSoftmaxLoss, lossmith.NCELoss, lossmith.NegativeSamplingLoss)
Inputs = tuple[Tensor, ...]


def full_softmax(hidden: Tensor, weight: Tensor, bias: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias), target)


def sampled(cls: type, size: Size, classes: int, given: Inputs, target: Tensor, sparse: bool) -> Callable[[], Run]:
    """The step of a sampled loss with unigram noise of Zipf's counts."""

    def build() -> Run:
        counts = 1 / torch.arange(1, classes + 1)
        loss = cls(num_sampled=size.sampled, noise="unigram", counts=counts, sparse=sparse)
        return step(lambda *tensors: loss(tensors[:-1], tensors[-1]), given, target)

    return build


def cutoffs(size: Size, classes: int) -> list[int]:
    """Where the clusters of rare classes begin, of those that there are."""
    return [cutoff for cutoff in size.cutoffs if cutoff < classes]


def adaptive(ours: bool, size: Size, classes: int, hidden: Tensor, target: Tensor) -> Callable[[], Run]:
    """The step of an adaptive softmax, its own weights included."""

    def build() -> Run:
        steps = cutoffs(size, classes)
        layer: nn.Module = nn.AdaptiveLogSoftmaxWithLoss(size.features, classes, steps)
        if ours:
            layer = lossmith.AdaptiveLogSoftmaxLoss(in_features=size.features, n_classes=classes, cutoffs=steps)

        def run() -> Tensor:
            value = layer(hidden, target)
            value = value if ours else value.loss
            torch.autograd.grad(UPSTREAM * value, (hidden, *layer.parameters()))
            return value.detach()

        return run

    return build


def ways(size: Size, classes: int, given: Inputs, target: Tensor) -> list[Way]:
    """Every loss at one number of classes."""
    hidden, weight, _ = given
    touched = 3 * 4 * (size.features + 1) * (size.rows + size.sampled)
    products, found = 6.0 * size.rows * size.features, []

    def add(case: str, build: Callable[[], Run], moved: float, width: int) -> None:
        floor = {BYTES: moved, OPERATIONS: products * width}
        found.append(Way(case, f"{classes:,} classes", build, floor, same=False))

    if classes <= size.full:
        add("full softmax (torch)", lambda: step(full_softmax, given, target), 3 * weight.nbytes, classes)
    for cls in LOSSES:
        add(f"{cls.name}, sparse gradient", sampled(cls, size, classes, given, target, True), touched, size.sampled)
        if classes <= size.dense:
            dense = sampled(cls, size, classes, given, target, False)
            add(cls.name, dense, touched + weight.nbytes, size.sampled)
    if classes <= size.dense:
        layer = nn.AdaptiveLogSoftmaxWithLoss(size.features, classes, cutoffs(size, classes), device="meta")
        moved = sum(x.nbytes for x in layer.parameters())
        for case, ours in (("adaptive_log_softmax", True), ("adaptive softmax (torch)", False)):
            add(case, adaptive(ours, size, classes, hidden, target), moved, min(size.cutoffs))
    return found


def report(on: Device, size: Size) -> list[Part]:
    """One table: the losses, each over the classes."""
    generator, found = torch.Generator(on.name).manual_seed(0), []
    for classes in size.classes:
        shapes = ((size.rows, size.features), (classes, size.features), (classes,))
        given = tuple(torch.randn(n, generator=generator).mul_(0.1).requires_grad_() for n in shapes)
        zipf = lossmith.NCELoss(num_sampled=size.rows, seed=0)
        found += ways(size, classes, given, zipf.draw(classes))
    products = gemms(torch.randn(size.rows, size.features), torch.randn(size.sampled, size.features))
    yardsticks = {BYTES: adding(4 * size.dense * size.features, on), OPERATIONS: products}
    shape = f"{size.rows:,} rows of {size.features} numbers, {size.sampled:,} noise classes:"
    return [shape, measured(found, yardsticks, on)]
