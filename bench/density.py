"""GHM-C and GHM-R against mmdetection's loop over bins, forward and backward, in time and in peak memory.

The peer is the loop as mmdetection runs it: a boolean mask for each bin, its number by ``.sum().item()``, and a write
into the weights of its members. Both divide by the bins that have members. Each runs with and without momentum.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import lossmith.losses  # noqa: F401  (fills the registry)
from bench.measure import medians, peak
from bench.report import Part, Table
from lossmith.flow.loss import Loss, registry

ELEMENTS = 1_000_000
BINS = (10, 30)
Step = Callable[[], object]


class Loop:
    """mmdetection's weights: the number of examples over the number, or its average so far, in the bin of each."""

    def __init__(self, bins: int, momentum: float) -> None:
        self.edges = (torch.arange(bins + 1) / bins).tolist()
        self.edges[-1] += 1e-6
        self.bins, self.momentum, self.average = bins, momentum, [0.0] * bins

    def weights(self, length: Tensor) -> Tensor:
        weights, filled = torch.zeros_like(length), 0
        for k in range(self.bins):
            inside = (length >= self.edges[k]) & (length < self.edges[k + 1])
            number = inside.sum().item()
            if number > 0:
                self.average[k] = self.momentum * self.average[k] + (1 - self.momentum) * number
                weights[inside] = len(length) / (self.average[k] if self.momentum else number)
                filled += 1
        return weights / filled

    def ghmc(self, z: Tensor, t: Tensor) -> Tensor:
        weights = self.weights((z.detach().sigmoid() - t).abs())
        return F.binary_cross_entropy_with_logits(z, t, weights, reduction="sum") / len(z)

    def ghmr(self, x: Tensor, t: Tensor, mu: float = 0.02) -> Tensor:
        r = x - t
        root = torch.sqrt(r * r + mu * mu)
        weights = self.weights((r / root).abs().detach())
        return ((root - mu) * weights).sum() / len(x)


def step(loss: Callable[[Tensor, Tensor], Tensor], input: Tensor, target: Tensor) -> Step:
    leaf = input.clone().requires_grad_()

    def run() -> None:
        torch.autograd.grad(loss(leaf, target), leaf)

    return run


def data(loss: Loss) -> tuple[Tensor, Tensor]:
    """As a detector has them: few positives among easy negatives; residuals of a few hundredths."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ELEMENTS, generator=generator)
    if loss.name == "ghmr":
        return 0.05 * x, torch.zeros(ELEMENTS)
    return 2 * x - 3, (torch.rand(ELEMENTS, generator=generator) < 0.02).float()


def measure(name: str, bins: int, momentum: float) -> list[str]:
    options: dict[str, Any] = {"link": "sigmoid"} if name == "ghmc" else {}
    loss = registry[name](bins=bins, momentum=momentum, normalize="nonempty", **options)
    peer = getattr(Loop(bins, momentum), name)
    input, target = data(loss)
    runs = {"ours": step(loss, input, target), "theirs": step(peer, input, target)}
    seconds = medians(runs, rounds=9)
    memory = {key: peak(run) for key, run in runs.items()}
    return [
        name,
        str(bins),
        f"{momentum:g}",
        f"{1000 * seconds['theirs']:.1f}",
        f"{1000 * seconds['ours']:.1f}",
        f"{seconds['ours'] / seconds['theirs']:.2f}",
        f"{memory['theirs'] / 2**20:.0f}",
        f"{memory['ours'] / 2**20:.0f}",
        f"{memory['ours'] / memory['theirs']:.2f}",
    ]


HEADER = [
    "loss",
    "bins",
    "momentum",
    "theirs, ms",
    "ours, ms",
    "ours / theirs",
    "theirs, peak MiB",
    "ours, peak MiB",
    "ours / theirs, peak",
]


def report() -> list[Part]:
    """The table, float32, one million elements."""
    cases = [(name, bins, momentum) for name in ("ghmc", "ghmr") for bins in BINS for momentum in (0.0, 0.75)]
    return [Table(HEADER, [measure(*case) for case in cases])]
