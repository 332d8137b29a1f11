"""Samplers of single examples: how often each class is drawn follows from a weight of its examples."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.weight import balanced_weights, effective_weights
from lossmith.sampling.epoch import EpochSampler
from lossmith.sampling.targets import classes

ROUNDING = 1e-6  # of an example: what float64 leaves of a whole number


class ClassSampler(EpochSampler[int]):
    """The base of the samplers by class: weights of an example of each class, then a draw.

    With n_c examples of class c, each of weight w_c, class c gets the share ``s_c = n_c w_c / sum_k n_k w_k`` of
    `num_samples`: ``num_samples * s_c`` examples in expectation, exactly, and in every epoch that number rounded up or
    down. Inside its class every example is as likely as any other.

    Parameters:
        targets: the class of every example: a tensor, an array, a series or a list of integers, booleans or strings.
        num_samples: examples of an epoch, of all ranks together. Default: as many as there are, or without
            `replacement` as many as there can be before a class runs out (for `BalancedSampler` that is the number of
            classes times the size of the smallest one: random under-sampling).
        replacement: whether an example may be drawn more than once in an epoch.
        seed, rank, world_size, process_group: see `EpochSampler`.

    Raises `ShapeError` for several labels per example, `DomainError` for targets that name no class or one class alone,
    `ParameterError` for anything else.
    """

    def __init__(
        self,
        targets: Iterable[Any],
        *,
        num_samples: int | None = None,
        replacement: bool = True,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        process_group: Any = None,
    ) -> None:
        super().__init__(seed=seed, rank=rank, world_size=world_size, process_group=process_group)
        names, self._class = classes(type(self).__name__, targets)
        self.counts = torch.bincount(self._class)
        weighed = self.counts * self.weights(self.counts.double())
        self.shares = weighed / weighed.sum()
        self.replacement = replacement
        reach = (self.counts / self.shares + ROUNDING).floor()  # num_samples at which each class runs out
        most = int(reach.min())
        self.total = len(self._class) if replacement else most
        if num_samples is not None:
            self.total = self._whole("num_samples", num_samples, 1)
        if not replacement and self.total > most:
            first = int(reach.argmin())
            raise ParameterError(
                f"{type(self).__name__}: without replacement num_samples must be at most {most}, at which the "
                f"{self.counts[first]} examples of class {names[first]!r} run out, not {self.total}"
            )

    def weights(self, counts: Tensor) -> Tensor:
        """The weight of an example of each class, from the counts of the classes; the scale does not matter."""
        raise NotImplementedError

    def draw(self, generator: torch.Generator) -> Tensor:
        quota = self._quota(generator)
        label = torch.repeat_interleave(torch.arange(len(quota)), quota)
        first = self.counts.cumsum(0) - self.counts  # where each class begins once the examples are sorted by class
        shuffled = torch.randperm(len(self._class), generator=generator)
        by_class = shuffled[self._class[shuffled].argsort(stable=True)]
        if self.replacement:
            chance = torch.rand(self.total, generator=generator, dtype=torch.float64)
            inside = (chance * self.counts[label]).long()
        else:
            inside = torch.arange(self.total) - (quota.cumsum(0) - quota)[label]
        drawn = by_class[first[label] + inside]
        return drawn[torch.randperm(self.total, generator=generator)]

    def _quota(self, generator: torch.Generator) -> Tensor:
        """How many of each class: the expected number, rounded up or down at random so that the total is right."""
        expected = self.total * self.shares
        sure = (expected + ROUNDING).floor()
        rest = expected - sure
        ends = torch.where(rest > ROUNDING, rest, 0.0).cumsum(0)  # systematic sampling: one point in each unit
        left = self.total - int(sure.sum())
        if left:
            start = torch.rand((), generator=generator, dtype=torch.float64)
            sure = sure + torch.diff((ends / ends[-1] * left + start).floor(), prepend=torch.zeros(1))
        return sure.long()


class BalancedSampler(ClassSampler):
    """Every class as often as any other: weights ``w_c = N / (K n_c)``, those of ``class_weight("balanced", counts)``.

    >>> sampler = BalancedSampler(["ham"] * 90 + ["spam"] * 10, num_samples=40)
    >>> sum(index < 90 for index in sampler), len(sampler)   # half of them ham
    (20, 40)
    >>> sorted(BalancedSampler([0, 0, 0, 1, 1], replacement=False, seed=1))   # two of each, none twice
    [0, 2, 3, 4]

    The model then sees classes as if they were equally frequent, and its probabilities are of such a world.

    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed Recognition", arXiv 1910.09217,
    eq. 1 with q = 0.
    """

    def weights(self, counts: Tensor) -> Tensor:
        return balanced_weights(counts)


class SquareRootSampler(ClassSampler):
    """Between the natural and the balanced frequencies: class c has the share ``sqrt(n_c) / sum_k sqrt(n_k)``.

    >>> sampler = SquareRootSampler([0] * 90 + [1] * 10, num_samples=40)
    >>> sum(index < 90 for index in sampler)   # sqrt(90) : sqrt(10) is 3 : 1
    30

    Source: Kang et al., arXiv 1910.09217, eq. 1 with q = 1/2; Mahajan et al., "Exploring the Limits of Weakly
    Supervised Pretraining", arXiv 1805.00932.
    """

    def weights(self, counts: Tensor) -> Tensor:
        return balanced_weights(counts).sqrt()


class EffectiveNumberSampler(ClassSampler):
    """By the effective number of samples: weights ``w_c`` of ``effective_number(counts, beta)``.

    The share of class c is in proportion to ``n_c (1 - beta) / (1 - beta^n_c)``: beta = 0 leaves the classes as
    frequent as they are, beta -> 1 is balanced.

    >>> sampler = EffectiveNumberSampler([0] * 4 + [1] * 2, beta=0.5, num_samples=46)
    >>> sum(index < 4 for index in sampler)   # 4 / (15/16) : 2 / (3/4) is 8 : 5, and 46 * 8/13 is 28.3
    28

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", arXiv 1901.05555, eq. 1 and 2.
    """

    def __init__(self, targets: Iterable[Any], *, beta: float = 0.999, **options: Any) -> None:
        self.beta = beta
        super().__init__(targets, **options)

    def weights(self, counts: Tensor) -> Tensor:
        return effective_weights("EffectiveNumberSampler", counts, self.beta)
