"""Adaptive softmax: torch's layer of a short list and clusters of rare classes, with our masks, weights and reductions.

No formula of one number describes it: the loss holds the weights of the layer, and torch computes it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lossmith.errors import ParameterError
from lossmith.flow.domain import Classes, Interval
from lossmith.flow.loss import Input
from lossmith.flow.parameter import integer_or_none, param
from lossmith.flow.units import Units, at_least_float32, one_tensor
from lossmith.losses.sampling import ManyClassesLoss, _count


def _count_or_none(value: Any) -> int | None:
    return None if value is None else _count(value)


def _counts_or_none(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise TypeError
    return tuple(_count(item) for item in value)


class _Layer(nn.AdaptiveLogSoftmaxWithLoss):
    """torch's layer; a call names the method, so that each can be computed with other weights put in their place."""

    def forward(self, method: str, *tensors: Tensor) -> Any:  # type: ignore[override]
        return getattr(super(), method)(*tensors)


class AdaptiveLogSoftmaxLoss(ManyClassesLoss):
    """Adaptive softmax: ``-log p(head of y) - log p(y in its cluster)``, the second term for rare classes only.

    The classes are in the order of falling frequency. The first ``cutoffs[0]`` stand in the head beside one entry
    for each cluster, cluster i holds the classes from ``cutoffs[i]`` on, and its last layer has
    ``in_features / div_value^(i + 1)`` inputs. The weights are parameters of this loss: give them to the optimiser.
    `log_prob` and `predict` are torch's. torch looks at the targets to sort the rows, so that a call waits for the
    device and cannot be compiled as a whole graph.

    Use it for language models over words, whose frequencies fall off steeply. Not for subwords or classes of like
    frequency, where the full softmax is better and about as quick: `CrossEntropyLoss`.

    >>> loss = AdaptiveLogSoftmaxLoss(in_features=2, n_classes=10, cutoffs=[2, 5], div_value=1)
    >>> hidden = torch.zeros(1, 2)   # all scores are 0, whatever the weights: 2 classes and 2 clusters alike
    >>> loss(hidden, torch.tensor([1])).item()   # log 4
    1.3862...
    >>> loss(hidden, torch.tensor([3])).item()   # one of 3 in its cluster: log 4 + log 3
    2.4849...

    Source: Grave et al., "Efficient softmax approximation for GPUs", arXiv 1609.04309, section 4;
    ``torch.nn.AdaptiveLogSoftmaxWithLoss``.
    """

    example: ClassVar[dict[str, Any]] = {"in_features": 4, "n_classes": 8, "cutoffs": [3, 5], "div_value": 2, "seed": 0}
    lacks = ("compile", "vmap")

    in_features: int | None = param(
        default=None, read=_count_or_none, rule="an integer of at least 1", about="H, the size of a row of hidden"
    )
    n_classes: int | None = param(
        default=None, read=_count_or_none, rule="an integer of at least 1", about="V, the number of classes"
    )
    cutoffs: tuple[int, ...] | None = param(
        default=None,
        read=_counts_or_none,
        rule="a list of integers of at least 1",
        about="where the clusters begin, increasing and below n_classes",
    )
    div_value: float = param(default=4.0, ge=1, about="how much narrower each cluster is than the one before")
    head_bias: bool = param(default=False, about="whether the head has a bias")
    seed: int | None = param(
        default=None,
        read=integer_or_none,
        rule="an integer or None",
        about="None: initial weights from torch's generator; an integer: the same ones at every start",
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        with torch.random.fork_rng(devices=[], enabled=self.seed is not None):
            if self.seed is not None:
                torch.default_generator.manual_seed(self.seed)
            names = ("in_features", "n_classes", "cutoffs", "div_value", "head_bias")
            self.layer = _Layer(**{name: getattr(self, name) for name in names})

    def validate(self) -> None:
        super().validate()
        owner, cutoffs, n = type(self).__name__, self.cutoffs, self.n_classes
        if self.in_features is None or n is None or cutoffs is None:
            raise ParameterError(
                f"{owner}: the sizes of the layer must be given, such as in_features=512, n_classes=100_000, "
                f"cutoffs=[2_000, 20_000]"
            )
        if list(cutoffs) != sorted(set(cutoffs)) or cutoffs[-1] >= n:
            raise ParameterError(f"{owner}: cutoffs must increase and end below n_classes={n}; they are {cutoffs}")
        if self.in_features < self.div_value ** len(cutoffs):
            raise ParameterError(
                f"{owner}: in_features={self.in_features} divided {len(cutoffs)} times by div_value={self.div_value:g} "
                f"leaves the last cluster no input; use a smaller div_value or fewer cutoffs"
            )

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        hidden = one_tensor(type(self).__name__, input, "hidden")
        units = self.units_of(hidden, target, self.layer.n_classes, self.layer.in_features)
        return (at_least_float32(hidden),), target.to(torch.int64), units

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        value = -self._call("forward", inputs[0], target.reshape(-1)).output
        if self.process_group is not None:  # a gradient of every weight, for which DDP and FSDP wait: no target may lie
            value = value + 0 * sum(weight.flatten()[0] for weight in self.layer.parameters())  # in some cluster here
        return value.reshape(units.shape), None

    def _call(self, method: str, hidden: Tensor, *more: Tensor) -> Any:
        """A method of torch's layer on rows, in the dtype of hidden, and without autocast."""
        hidden = at_least_float32(hidden)
        weights = {name: weight.to(hidden.dtype) for name, weight in self.layer.named_parameters()}
        with torch.autocast("cpu" if hidden.is_meta else hidden.device.type, enabled=False):
            return functional_call(self.layer, weights, (method, hidden.reshape(-1, hidden.shape[-1]), *more))

    def log_prob(self, hidden: Tensor) -> Tensor:
        """The log-probabilities of all classes, [*, V], for hidden [*, H]."""
        out: Tensor = self._call("log_prob", hidden)
        return out.reshape(*hidden.shape[:-1], -1)

    def predict(self, hidden: Tensor) -> Tensor:
        """The likeliest class of each row, [*], for hidden [*, H]; sooner than by way of `log_prob`."""
        out: Tensor = self._call("predict", hidden)
        return out.reshape(hidden.shape[:-1])

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        hidden = Interval(-2, 2).sample((units, self.layer.in_features), generator)
        return hidden, Classes(self.layer.n_classes).sample((units,), generator)
