"""Comparison losses of pairs and triplets: a formula of a difference, a distance or a similarity, and of a label.

Distances have slope 0 where they are 0, and no eps in their value. Sets of many pairs are in ``contrastive``.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.errors import DtypeError, ShapeError
from lossmith.flow.domain import Domain, Interval, Presence, Signs
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.units import Units, at_least_float32, floating, one_tensor
from lossmith.losses.margin import positive_part, softplus


# Statistics -------------------------------------------------------------------------------------------------------
def _polar(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x = top * unit, vectors along the last axis, and the length of unit; a zero vector has unit 0, without a slope.

    `top` is the largest entry: squares of float32 vanish below 1e-23 and overflow above 1e19, those of unit do not.
    """
    top = x.detach().abs().amax(-1, keepdim=True)
    none = top == 0
    unit = torch.where(none, 0.0, x) / torch.where(none, 1.0, top)
    return top, unit, torch.where(none, 1.0, unit.square().sum(-1, keepdim=True)).sqrt()


def norm(x: Tensor) -> Tensor:
    """The Euclidean length of each vector along the last axis, with slope 0 where it is 0."""
    top, _, length = _polar(x)
    return (top * length).squeeze(-1)


def direction(x: Tensor) -> Tensor:
    """Each vector along the last axis at length 1; that of the zero vector is 0, with slope 0."""
    _, unit, length = _polar(x)
    return unit / length


def difference(a: Tensor, b: Tensor) -> Tensor:
    """a - b, element by element."""
    return a - b


def distance(a: Tensor, b: Tensor) -> Tensor:
    """The Euclidean distance of vectors along the last axis."""
    return norm(a - b)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of the angle between vectors along the last axis; 0 with a zero vector."""
    return (direction(a) * direction(b)).sum(-1)


def alike(owner: str, input: object, names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """The tensors of an input, as many as `names` has, of one shape and in the dtype of the computation."""
    if not (isinstance(input, tuple | list) and len(input) == len(names)):
        count = {2: "a pair", 3: "a triplet"}[len(names)]
        given = f"{len(input)} of them" if isinstance(input, tuple | list) else type(input).__name__
        raise DtypeError(f"{owner}: input must be {count} of tensors ({', '.join(names)}), not {given}")
    tensors = tuple(one_tensor(owner, x, name) for x, name in zip(input, names, strict=True))
    for x, name in zip(tensors, names, strict=True):
        floating(owner, x, name)
    if len({x.shape for x in tensors}) > 1:
        shapes = ", ".join(f"{name} has {list(x.shape)}" for x, name in zip(tensors, names, strict=True))
        raise ShapeError(f"{owner}: {' and '.join(names)} must have the same shape; {shapes}")
    return tuple(at_least_float32(x) for x in tensors)


def vectors(owner: str, x: Tensor) -> Units:
    """Each vector of [*, D] is a unit."""
    if x.dim() == 0 or x.shape[-1] == 0:
        raise ShapeError(
            f"{owner}: input must be vectors along the last axis, [*, D] with D at least 1, not {list(x.shape)}"
        )
    return Units(x.shape[:-1], axis=x.dim() - 1)


# Pairs ------------------------------------------------------------------------------------------------------------
class PairLoss(Loss, family="comparison"):
    """A loss that is a formula of how two things compare, and of a label that says how they should.

    Shapes: input a pair (a, b) of tensors of one shape, [*, D] where vectors are compared (a unit is a vector), any
    shape where numbers are (a unit is an element); target of the units' shape. Raises `ShapeError` for shapes that do
    not fit each other, `DtypeError` for an input that is no pair of floating point tensors, `DomainError` for other
    labels.
    """

    statistic: "ClassVar[staticmethod[[Tensor, Tensor], Tensor]]" = staticmethod(distance)
    unit: ClassVar[Literal["element", "row", "sample"]] = "sample"
    target_domain: ClassVar[Domain | None] = Signs()

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        raise NotImplementedError

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        a, b = alike(owner, input, ("a", "b"))
        units = Units(a.shape) if self.unit == "element" else vectors(owner, a)
        return (a, b), _labels(owner, target, units, torch.promote_types(a.dtype, b.dtype)), units

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(type(self).statistic(*inputs), target, torch), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        shape = (units,) if self.unit == "element" else (units, 3)
        a, b = (Interval(-0.6, 0.6).sample(shape, generator) for _ in "ab")  # distances on either side of 1
        return (a, b), (self.target_domain or Signs()).sample((units,), generator)


class DistanceLoss(Loss, family="comparison"):
    """A loss that is a formula of a distance that was computed before, and of a label that says what it should be.

    Shapes: input (distances) and target of one shape, a unit is an element. Raises `ShapeError` for different shapes,
    `DtypeError` for an input that is not floating point, `DomainError` for labels other than -1 and 1.
    """

    target_domain = Signs()

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        raise NotImplementedError

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(inputs[0], target, torch), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        return Interval(0, 2).sample((units,), generator), self.target_domain.sample((units,), generator)


def _labels(owner: str, target: Tensor, units: Units, dtype: torch.dtype) -> Tensor:
    if target.shape != units.shape:
        raise ShapeError(
            f"{owner}: target must have one label per pair, shape {list(units.shape)}; "
            f"it has shape {list(target.shape)}"
        )
    return target.to(dtype)


class MarginRankingLoss(PairLoss):
    """Margin ranking: ``max(0, margin - y (a - b))``; target y = 1 where a should score higher, -1 where b should.

    At margin 0 a tie costs nothing.

    Use it to learn which of two things should score higher. Not with margin 0 on a model that may score all alike,
    which costs nothing; for whole lists `SmoothAPLoss`.

    >>> loss, first = MarginRankingLoss(margin=0.5), torch.tensor([1.0])
    >>> float(loss((torch.tensor([1.0]), torch.tensor([3.0])), first))   # 0.5 + 2
    2.5
    >>> float(loss((torch.tensor([1.0]), torch.tensor([0.75])), first))   # 0.5 - 0.25
    0.25

    Source: Herbrich, Graepel and Obermayer (1999), "Support Vector Learning for Ordinal Regression", eq. 11; the same
    as ``torch.nn.MarginRankingLoss``.
    """

    margin: float = param(default=0.0, about="by how much the right one should be ahead")
    statistic = staticmethod(difference)
    unit = "element"

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        short = self.margin - target * value
        return positive_part(short, xp)


class HingeEmbeddingLoss(DistanceLoss):
    """Hinge embedding: a distance d costs ``d`` where the target is 1, and ``max(0, margin - d)`` where it is -1.

    Use it where distances come from elsewhere and pairs are labelled alike or unlike. Not on embeddings themselves:
    `ContrastiveLoss` takes the distance and is smooth at the margin.

    >>> float(HingeEmbeddingLoss()(torch.tensor([0.25]), torch.tensor([1.0])))
    0.25
    >>> float(HingeEmbeddingLoss(margin=2.0)(torch.tensor([0.25]), torch.tensor([-1.0])))
    1.75

    Source: the same as ``torch.nn.HingeEmbeddingLoss``.
    """

    margin: float = param(default=1.0, about="the distance from which on the unlike cost nothing")

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        short = self.margin - value
        return xp.where(target > 0, value, positive_part(short, xp))


class CosineEmbeddingLoss(PairLoss):
    """Cosine embedding: ``1 - cos(a, b)`` where the target is 1, and ``max(0, cos(a, b) - margin)`` where it is -1.

    The cosine with a zero vector is 0, and has no gradient.

    Use it for pairs of texts or images of which the direction alone counts. Not for retrieval from many candidates, of
    which one negative at a time says little: `InfoNCELoss` or `CLIPLoss`.

    >>> a, b = torch.tensor([[3.0, 3.0]]), torch.tensor([[2.0, 0.0]])   # at 45 degrees
    >>> float(CosineEmbeddingLoss()((a, b), torch.tensor([1.0])))
    0.2928...
    >>> float(CosineEmbeddingLoss(margin=0.5)((a, b), torch.tensor([-1.0])))
    0.2071...

    Source: the same as ``torch.nn.CosineEmbeddingLoss``, whose cosine has an eps of 1e-12 in its squared norms.
    """

    margin: float = param(default=0.0, ge=-1, le=1, about="the cosine up to which the unlike cost nothing")
    statistic = staticmethod(cosine)

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        over = value - self.margin
        return xp.where(target > 0, 1 - value, positive_part(over, xp))


class ContrastiveLoss(PairLoss):
    """Contrastive loss: ``y d^2 / 2 + (1 - y) max(0, margin - d)^2 / 2``, d the distance, y = 1 for the same, else 0.

    A target between 0 and 1 costs the mixture. The paper's Y is 1 - y. At d = 0 the unlike have no direction to part
    in, and a gradient of 0.

    Use it for pairs that are the same or not, as in verification. Not for batches of labelled embeddings, most pairs of
    which it would not see: `SupervisedContrastiveLoss`.

    >>> a, b = torch.tensor([[0.6, 0.8]]), torch.zeros(1, 2)   # distance 1
    >>> float(ContrastiveLoss()((a, b), torch.tensor([1.0])))
    0.5...
    >>> float(ContrastiveLoss(margin=3.0)((a, b), torch.tensor([0.0])))   # 2^2 / 2
    2.0...

    Source: Hadsell, Chopra and LeCun (2006), "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4.
    """

    margin: float = param(default=1.0, gt=0, about="the distance from which on the unlike cost nothing")
    target_domain = Presence()

    def formula(self, value: Any, target: Any, xp: Any) -> Any:
        short = positive_part(self.margin - value, xp)
        return (target * value * value + (1 - target) * short * short) / 2


# Triplets ---------------------------------------------------------------------------------------------------------
class TripletLoss(Loss, family="comparison"):
    """A loss that is a formula of two distances of an anchor: to what is like it (near), and to what is not (far).

    Shapes: input a triplet (anchor, positive, negative) of tensors [*, D], a unit is a vector; there is no target.
    Distances are Euclidean. Raises `ShapeError` for different shapes or a target, `DtypeError` for an input that is no
    triplet of floating point tensors.
    """

    swap: bool = param(
        default=False,
        about="whether far is the shorter of the negative's distances to anchor and positive (Balntas et al. 2016)",
    )
    unit = "sample"
    takes_target = False
    target_domain = None

    def formula(self, near: Any, far: Any, xp: Any) -> Any:
        raise NotImplementedError

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        three = alike(type(self).__name__, input, ("anchor", "positive", "negative"))
        units = vectors(type(self).__name__, three[0])
        return three, three[0].new_zeros(units.shape), units

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        anchor, positive, negative = inputs
        near, far = distance(anchor, positive), distance(anchor, negative)
        if self.swap:
            far = torch.minimum(far, distance(positive, negative))
        return self.formula(near, far, torch), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Any]:
        anchor, positive, negative = (Interval().sample((units, 3), generator) for _ in range(3))
        return (anchor, positive, negative), None


class TripletMarginLoss(TripletLoss):
    """Triplet loss: ``max(0, near - far + margin)``; with ``soft=True`` it is ``log(1 + exp(near - far + margin))``.

    Use it where triplets are given, or chosen with care. Not on random triplets, most of which soon cost nothing:
    `MinedTripletLoss`.

    >>> anchor, near, far = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 5.5]])
    >>> float(TripletMarginLoss()((anchor, near, far)))   # 5 - 5.5 + 1
    0.5
    >>> float(TripletMarginLoss(margin=0.5, soft=True)((anchor, near, far)))   # log 2
    0.6931...

    Source: Schroff et al., "FaceNet", arXiv 1503.03832, eq. 1, of distances that are not squared; soft (with margin 0)
    Hermans et al., "In Defense of the Triplet Loss", arXiv 1703.07737, section 2. As ``torch.nn.TripletMarginLoss``,
    which adds eps = 1e-6 to each component of a difference, so that equal vectors lie 1e-6 sqrt(D) apart there.
    """

    margin: float = param(default=1.0, ge=0, about="by how much far should exceed near")
    soft: bool = param(default=False, about="whether the hinge is rounded, so that every triplet keeps pulling")

    def formula(self, near: Any, far: Any, xp: Any) -> Any:
        short = near - far + self.margin
        return softplus(short, xp) if self.soft else positive_part(short, xp)
