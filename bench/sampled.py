"""Many classes, forward and backward: sampled losses and the adaptive softmax against the full softmax.

The full softmax is what one would write without them, `F.linear` and `F.cross_entropy` of torch. A batch has 512 rows
of 128 numbers, 8192 noise classes serve all of it; all gradients are taken, that of the weight as a dense tensor or,
where it says so, as a sparse one. Time and memory are ratios to the full softmax, measured in the same run in turns.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import lossmith
from bench.measure import medians, peak, table

ROWS, FEATURES, SAMPLED = 512, 128, 8192
HEADER = ["classes", "loss", "ms", "MB", "time / full softmax", "memory / full softmax"]


def full_softmax(given: tuple[Tensor, ...], target: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(*given), target)


def step(loss: Callable[..., Tensor], given: tuple[Tensor, ...], target: Tensor) -> Callable[[], object]:
    leaves = tuple(x.clone().requires_grad_() for x in given)
    return lambda: torch.autograd.grad(loss(leaves, target), leaves)


def adaptive_step(layer: nn.Module, hidden: Tensor, target: Tensor, theirs: bool) -> Callable[[], object]:
    leaf = hidden.clone().requires_grad_()

    def run() -> object:
        value = layer(leaf, target)
        return torch.autograd.grad(value.loss if theirs else value, (leaf, *layer.parameters()))

    return run


def candidates(classes: int) -> dict[str, Callable[[], object]]:
    """Every way to the loss of one batch whose targets follow Zipf's law."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((ROWS, FEATURES), (classes, FEATURES), (classes,))
    given = tuple(0.1 * torch.randn(*n, generator=generator) for n in sizes)
    target = lossmith.NCELoss(num_sampled=ROWS, seed=0).draw(classes)
    counts = 1 / torch.arange(1, classes + 1)
    runs: dict[str, Callable[[], object]] = {"full softmax (torch)": step(full_softmax, given, target)}
    for cls in (lossmith.SampledSoftmaxLoss, lossmith.NCELoss, lossmith.NegativeSamplingLoss):
        runs[cls.name] = step(cls(num_sampled=SAMPLED, noise="unigram", counts=counts), given, target)
    sparse = lossmith.SampledSoftmaxLoss(num_sampled=SAMPLED, noise="unigram", counts=counts, sparse=True)
    runs["sampled_softmax, sparse gradient"] = step(sparse, given, target)
    cutoffs = [2000, 20_000]
    ours = lossmith.AdaptiveLogSoftmaxLoss(in_features=FEATURES, n_classes=classes, cutoffs=cutoffs)
    theirs = nn.AdaptiveLogSoftmaxWithLoss(FEATURES, classes, cutoffs)
    runs["adaptive_log_softmax"] = adaptive_step(ours, given[0], target, theirs=False)
    runs["adaptive softmax (torch)"] = adaptive_step(theirs, given[0], target, theirs=True)
    return runs


def measure(classes: int, rounds: int) -> list[list[str]]:
    runs = candidates(classes)
    memory = {name: peak(run) for name, run in runs.items()}
    seconds = medians(runs, rounds=rounds, warm=1)
    first = next(iter(runs))
    return [
        [
            f"{classes:,}",
            name,
            f"{1000 * seconds[name]:.0f}",
            f"{memory[name] / 1e6:.0f}",
            f"{seconds[name] / seconds[first]:.3f}",
            f"{memory[name] / memory[first]:.3f}",
        ]
        for name in runs
    ]


def report() -> str:
    """The table for a vocabulary and for a catalogue."""
    return table(HEADER, [*measure(100_000, 7), *measure(1_000_000, 3)])
