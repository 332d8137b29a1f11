"""Feature losses: how far apart a network sees two samples, an image and the image that it should be."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow.domain import Interval
from lossmith.flow.loss import Input, Loss, registry
from lossmith.flow.parameter import nearest, number, param
from lossmith.flow.units import Units, at_least_float32, elements, one_tensor


def _network(value: Any) -> nn.Module | None:
    if value is not None and not isinstance(value, nn.Module):
        raise TypeError
    return value


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(name, str) for name in value) or len(set(value)) < len(value):
        raise ValueError
    return tuple(value)


def _factors(value: Any) -> tuple[float, ...] | None:
    return None if value is None else tuple(number(factor, Interval(0)) for factor in value)


class FeatureLoss(Loss, family="feature"):
    """A distance between the features of two samples, summed over layers of a network.

    Shapes: input and target of one shape, [N, *], what the extractor takes; a unit is a sample. The extractor is any
    ``torch.nn.Module``, and its features are what the modules named in `layers` put out, each a tensor [N, *], as they
    put it out: a later ReLU in place does not change them. The loss has the units of the distance. Raises `ShapeError`
    and `DtypeError` for inputs and layers that do not fit, `ParameterError` for a layer that the extractor does not
    have.

    The extractor is used, not owned: its parameters get no gradient whatever their ``requires_grad``, and appear
    neither in the loss's ``parameters()`` nor in its ``state_dict()``; ``.to()`` moves it along; ``.train()`` and
    ``.eval()`` leave it as it is, so put it into eval mode yourself if it has dropout or batch normalisation. No
    gradient reaches the target. Samples are given to it in the dtype of its parameters. The layers are listened to
    during a call alone, which `torch.compile` does not follow; without an extractor it does.
    """

    extractor: Any = param(
        default=None,
        read=_network,
        rule="a torch.nn.Module or None",
        about="the network; None sees the samples as such",
    )
    layers: tuple[str, ...] = param(
        default=(),
        read=_names,
        rule='names of modules of the extractor, each once, such as ["features.3", "features.8"]',
        about="whose outputs are compared, as in extractor.named_modules(); none: the output of the extractor",
    )
    layer_weights: tuple[float, ...] | None = param(
        default=None,
        read=_factors,
        rule="numbers, finite and at least 0, one per layer, or None",
        about="the factor of each layer; None is 1 throughout",
    )

    unit = "sample"
    hooks = ("compare",)

    def compare(self, given: Tensor, wanted: Tensor) -> Tensor:
        """The distance of each sample, [N], between two features of one layer."""
        raise NotImplementedError

    def validate(self) -> None:
        super().validate()
        owner = type(self).__name__
        if self.ignore_index is not None:
            raise ParameterError(f"{owner}: ignore_index has no use here: the targets are no labels, give a mask")
        known = {} if self.extractor is None else dict(self.extractor.named_modules())
        for layer in self.layers:
            if layer not in known:
                lacking = "there is no extractor with a" if self.extractor is None else "the extractor has no"
                raise ParameterError(f"{owner}: {lacking} layer {layer!r}{nearest(layer, known)}")
        count = max(len(self.layers), 1)
        if self.layer_weights is not None and len(self.layer_weights) != count:
            raise ParameterError(f"{owner}: layer_weights must be {count} numbers, one per layer: {self.layer_weights}")

    def features(self, x: Tensor) -> list[Tensor]:
        """What the layers put out for the samples; hooks are there while the network runs, and then gone."""
        if self.extractor is None:
            return [x]
        frozen = {name: p.detach() for name, p in self.extractor.named_parameters()}
        dtype = next((p.dtype for p in frozen.values() if p.is_floating_point()), x.dtype)
        run = functools.partial(functional_call, self.extractor, frozen, (x.to(dtype),))
        found = self._listen(run) if self.layers else {"the output": [run()]}
        return [self._feature(name, outputs, len(x)) for name, outputs in found.items()]

    def _listen(self, run: Callable[[], Any]) -> dict[str, list[Any]]:
        """All outputs of the layers in one run; copies, because what follows may write to them."""
        found: dict[str, list[Any]] = {name: [] for name in self.layers}

        def keep(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
            found[name].append(output.clone() if isinstance(output, Tensor) else output)

        handles = [
            self.extractor.get_submodule(name).register_forward_hook(functools.partial(keep, name)) for name in found
        ]
        try:
            run()
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _feature(self, name: str, outputs: list[Any], samples: int) -> Tensor:
        owner = type(self).__name__
        if len(outputs) != 1:
            raise ShapeError(
                f"{owner}: layer {name!r} must run once for a sample to have one feature; it ran {len(outputs)} times "
                "(name another, or give each use a module of its own)"
            )
        (output,) = outputs
        if not isinstance(output, Tensor) or not output.is_floating_point():
            kind = output.dtype if isinstance(output, Tensor) else type(output).__name__
            raise DtypeError(
                f"{owner}: layer {name!r} must put out one floating point tensor; it puts out a {kind} (name a layer "
                "within or behind it)"
            )
        if output.dim() == 0 or len(output) != samples:
            raise ShapeError(
                f"{owner}: layer {name!r} must put out one row per sample, [{samples}, *]; it puts out shape "
                f"{list(output.shape)}"
            )
        return at_least_float32(output)

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        input = one_tensor(owner, input)
        units = elements(owner, input, target)
        if input.dim() == 0:
            raise ShapeError(f"{owner}: input must have an axis of samples, [N, *]; it is a single number")
        input = at_least_float32(input)
        return (input,), target.to(input.dtype), Units(units.shape[:1])

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            wanted = self.features(target.detach())
        given = self.features(inputs[0])
        factors = self.layer_weights or (1.0,) * len(given)
        each = [w * self.compare(a, b) for w, a, b in zip(factors, given, wanted, strict=True)]
        return functools.reduce(operator.add, each), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        one, two = (Interval().sample((units, 2, 3), generator) for _ in range(2))
        return one, two

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "extractor":  # past torch's registration: used, not owned
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FeatureLoss":
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.extractor is not None:
            self.extractor._apply(fn, recurse)
        return self


def _distance(value: Any) -> Any:
    loss = registry[value](reduction="none") if isinstance(value, str) and value in registry else value
    if not isinstance(loss, Loss) or loss.unit != "element" or not loss.takes_target or "none" not in loss.reductions:
        raise ValueError
    return value


class PerceptualLoss(FeatureLoss):
    """Perceptual loss: ``sum over layers of w * mean over elements of distance(f(input), f(target))``, f the features.

    Without an extractor the samples are compared as they are, element by element.

    Use it for super-resolution and style transfer, where errors of pixels blur. Not where exact values count, nor with
    a network that knows other kinds of pictures: `MAELoss`.

    >>> loss = PerceptualLoss(extractor=torch.nn.ReLU(), distance="mae")
    >>> float(loss(torch.tensor([[3.0, -5.0]]), torch.tensor([[1.0, -9.0]])))   # (|3 - 1| + |0 - 0|) / 2
    1.0
    >>> float(PerceptualLoss()(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 0.0]])))   # (4 + 1) / 2
    2.5

    Source: Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution",
    arXiv 1603.08155, eq. 2 (a feature reconstruction loss, there with one layer and squared distance).
    """

    distance: Any = param(
        default="mse",
        read=_distance,
        rule='the name of a loss of single elements, such as "mse" or "mae", or such a loss',
        about="what two elements of a feature cost",
    )

    # No formula of numbers: the distance is another loss.
    def validate(self) -> None:
        super().validate()
        if isinstance(self.distance, str):
            self.measure = registry[self.distance](reduction="none")
        else:
            self.measure = type(self.distance)(**{**self.distance.options(), "reduction": "none"})

    def compare(self, given: Tensor, wanted: Tensor) -> Tensor:
        size = math.prod(given.shape[1:])
        return self.measure(given, wanted).reshape(len(given), size).sum(1) / max(size, 1)


class GramLoss(FeatureLoss):
    """Style, by Gram matrices: ``sum over layers of w / (4 C^2 M^2) * sum over (i, j) of (G_ij - A_ij)^2``.

    ``G_ij = sum_k F_ik F_jk`` over the M places of a feature with C channels, [N, C, *], of the input; A likewise of
    the target. Where things are does not matter, what goes with what does. The paper weighs its five layers 1/5 each;
    here each has 1 unless `layer_weights` says otherwise.

    Use it for the style of a picture, its colours and textures. Not for what is where, which it does not see:
    `PerceptualLoss` beside it.

    >>> loss = GramLoss()
    >>> float(loss(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[2.0, 1.0]]])))   # G = A = 5: the order is no style
    0.0
    >>> float(loss(torch.tensor([[[3.0]]]), torch.tensor([[[1.0]]])))   # (9 - 1)^2 / 4
    16.0

    Source: Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", arXiv 1508.06576, eq. 3 to 5.
    """

    def compare(self, given: Tensor, wanted: Tensor) -> Tensor:
        return (_gram(given) - _gram(wanted)).square().sum((1, 2))


def _gram(feature: Tensor) -> Tensor:
    """G / (2 C M), whose squared differences are the paper's with their factor in them."""
    if feature.dim() < 2:
        raise ShapeError(f"GramLoss: a feature must have channels, [N, C, *]; it has shape {list(feature.shape)}")
    places = feature.unsqueeze(-1).flatten(2)
    return places @ places.transpose(1, 2) / max(2 * places.shape[1] * places.shape[2], 1)
