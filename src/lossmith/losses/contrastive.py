"""Comparison losses of sets: each embedding against all the others of the batch, of all ranks under `process_group`.

A mask takes an embedding out of the set entirely: it is no anchor, no positive and no negative.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lossmith.errors import DtypeError, ShapeError
from lossmith.flow.domain import Interval
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import param
from lossmith.flow.units import Units, at_least_float32, floating, one_tensor
from lossmith.losses.comparison import TripletMarginLoss, alike, direction, distance

Pairs = tuple[Tensor, Tensor]


# Statistics -------------------------------------------------------------------------------------------------------
def similarities(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Cosines of every a with every b over the temperature, [N, N]; autocast would round them to half precision."""
    with torch.autocast(a.device.type, enabled=False):
        return direction(a) @ direction(b).T / temperature


def distances(x: Tensor) -> Tensor:
    """Euclidean distances of every pair, [N, N], from differences: squares and products would cancel for near pairs.

    The slope at distance 0 is 0.
    """
    half = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu(1)
    upper = x.new_zeros(half.shape).masked_scatter(half, torch.pdist(x))  # in the order of the rows of this half
    return upper + upper.T


def pairs(labels: Tensor, shown: Tensor | None) -> Pairs:
    """Which pairs of different units belong together, and which do not, [N, N] each; hidden units are in no pair."""
    same = labels.unsqueeze(0) == labels.unsqueeze(1)
    others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    if shown is not None:
        others = others & shown.unsqueeze(0) & shown.unsqueeze(1)
    return same & others, ~same & others


def only(x: Tensor, pair: Tensor) -> Tensor:
    """`x` where there is a pair, else the lowest number: as good as -inf in an exponential, and never NaN."""
    return torch.where(pair, x, torch.finfo(x.dtype).min)


def lost(own: Tensor, s: Tensor, negative: Tensor) -> Tensor:
    """``-log(e^own / (e^own + sum over the row's negatives of e^s))``, for every `own` of a row, [N, *]."""
    return -F.logsigmoid(own - only(s, negative).logsumexp(1, keepdim=True))


# Families ---------------------------------------------------------------------------------------------------------
class SetLoss(Loss, family="comparison"):
    """A loss of a set of embeddings, of which labels say which belong together.

    Shapes: input (embeddings) [N, D], target (labels) integers [N]; equal labels belong together, whatever their
    values, so under `process_group` they must mean the same on every rank. A unit is an embedding as anchor; one
    without a pair to compare does not count, and a batch without any costs 0. Time O(N^2 D), memory O(N^2). Raises
    `ShapeError` for other shapes, `DtypeError` for embeddings that are not floating point or labels that are.
    """

    unit = "sample"
    hooks = ("compare",)
    target_domain = None

    @property
    def scope(self) -> Literal["set"]:
        return "set"

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        x = one_tensor(owner, input)
        floating(owner, x)
        _matrix(owner, x)
        if target.is_floating_point() or target.is_complex():
            raise DtypeError(
                f"{owner}: target must be labels, integers; it is {str(target.dtype).removeprefix('torch.')}"
            )
        if target.shape != x.shape[:1]:
            raise ShapeError(
                f"{owner}: target must have one label per embedding, shape {list(x.shape[:1])}; "
                f"it has shape {list(target.shape)}"
            )
        return (at_least_float32(x),), target.to(torch.int64), Units(x.shape[:1], axis=1)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        if not len(target):
            return inputs[0].sum(1), None
        return self.compare(inputs[0], *pairs(target, units.shown))

    def compare(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the losses of each anchor, and how many they are."""
        raise NotImplementedError

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        return Interval().sample((units, 4), generator), torch.arange(units) % 3


def _matrix(owner: str, x: Tensor) -> None:
    if x.dim() != 2 or x.shape[1] == 0:
        raise ShapeError(f"{owner}: embeddings must have shape [N, D], D at least 1; they have {list(x.shape)}")


class ViewsLoss(Loss, family="comparison"):
    """A loss of a set of things in two views, each thing against all the others.

    Shapes: input a pair (a, b) of embeddings [N, D], row i of a and row i of b of the same thing; there is no target.
    A unit is a thing. Time O(N^2 D), memory O(N^2); under `process_group` N is the batch of all ranks. Raises
    `ShapeError` for other shapes or a target, `DtypeError` for an input that is no pair of floating point tensors.
    """

    unit = "sample"
    takes_target = False
    hooks = ("compare",)
    target_domain = None
    scope = SetLoss.scope

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        a, b = alike(owner, input, ("a", "b"))
        _matrix(owner, a)
        wide = torch.promote_types(a.dtype, b.dtype)
        return (a.to(wide), b.to(wide)), a.new_zeros(a.shape[:1]), Units(a.shape[:1], axis=1)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        _, other = pairs(torch.arange(len(target), device=target.device), units.shown)
        a, b = inputs
        return self.compare(a, b, other), None

    def compare(self, a: Tensor, b: Tensor, other: Tensor) -> Tensor:
        """The loss of each thing, `other` being the pairs of different things."""
        raise NotImplementedError

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Any]:
        return (Interval().sample((units, 4), generator), Interval().sample((units, 4), generator)), None


class TripletSetLoss(SetLoss, family="comparison"):
    """A loss that is a formula of two distances of an anchor, near and far, in triplets that are found in the batch.

    Shapes: input (embeddings) [N, D], target (labels) integers [N]; equal labels belong together, whatever their
    values, so under `process_group` they must mean the same on every rank. A unit is an embedding as anchor, its value
    the sum over its triplets, and a mean is over triplets; a batch without any costs 0. Distances are Euclidean, and
    embeddings as they come (FaceNet's have length 1). Time O(N^2 D); memory O(N^2 + N D) for "hard", O(N^2 + P D) for
    "semihard" and O(P N) for "all", of P pairs with the same label; "all" has no second derivative, and "semihard" and
    "all" have breaks in a compiled graph. Raises `ShapeError` for other shapes, `DtypeError` for embeddings that are
    not floating point or labels that are.
    """

    hooks = ("formula",)
    mining: Literal["hard", "semihard", "all"] = param(
        default="hard",
        one_of=("hard", "semihard", "all"),
        about="of each anchor the farthest positive and the nearest negative; of each anchor and positive the nearest "
        "negative that is farther than the positive, or else the farthest; or all triplets",
    )

    def formula(self, near: Any, far: Any, xp: Any) -> Any:
        raise NotImplementedError

    def compare(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        if self.mining == "hard":
            return self._hardest(x, positive, negative)
        anchor, mate = (positive & negative.any(1, keepdim=True)).nonzero(as_tuple=True)
        if self.mining == "all":
            d, valid = distances(x), negative[anchor]
            each = self.formula(d[anchor, mate].unsqueeze(1), d[anchor], torch)
            value, count = torch.where(valid, each, 0.0).sum(1), valid.sum(1)
        else:
            value = self._of(x, anchor, mate, semihard(distances(x.detach()), negative, anchor, mate))
            count = torch.ones_like(anchor)
        nothing = x.new_zeros(len(x))
        return nothing.index_add(0, anchor, value), nothing.index_add(0, anchor, count.to(x))

    def _hardest(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        d = distances(x.detach())
        mate, other = only(d, positive).argmax(1), only(-d, negative).argmax(1)
        valid = positive.any(1) & negative.any(1)
        return torch.where(valid, self._of(x, torch.arange(len(x), device=x.device), mate, other), 0.0), valid.to(x)

    def _of(self, x: Tensor, anchor: Tensor, mate: Tensor, other: Tensor) -> Tensor:
        """The formula of the triplets that these indices say; their distances, unlike those of mining, have slopes."""
        value: Tensor = self.formula(distance(x[anchor], x[mate]), distance(x[anchor], x[other]), torch)
        return value


def semihard(d: Tensor, negative: Tensor, anchor: Tensor, mate: Tensor) -> Tensor:
    """For each pair of anchor and mate the nearest negative that is farther than the mate, or else the farthest."""
    order = torch.where(negative, d, torch.inf).sort(1)
    count = negative.sum(1)
    place = torch.searchsorted(order.values, d, right=True)[anchor, mate]
    return order.indices[anchor, torch.minimum(place, count[anchor] - 1)]


# Losses -----------------------------------------------------------------------------------------------------------
class InfoNCELoss(SetLoss):
    """InfoNCE, NT-Xent: ``-log(e^s(i,j) / (e^s(i,j) + sum_k e^s(i,k)))``, j like i, k unlike; s = cosine / temperature.

    Every ordered pair (i, j) of equal labels counts once, and the others of that label are not among its negatives.
    SimCLR's two views of a batch are ``torch.cat([a, b])`` with labels ``torch.arange(N).repeat(2)`` (under
    `process_group` plus ``rank * N``). For two encoders, whose embeddings are compared across only, see `CLIPLoss`.

    Use it for two views of the same things by one encoder, in large batches. Not in small ones, which have few
    negatives, nor for labelled classes: `SupervisedContrastiveLoss`.

    >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> float(InfoNCELoss(temperature=1.0)(x, torch.tensor([0, 0, 1, 1])))   # cosines 1 | 0, 0: log(1 + 2 / e)
    0.5514...
    >>> float(InfoNCELoss(temperature=1.0)(x, torch.tensor([0, 1, 0, 1])))   # 0 | 1, 0: log(1 + e + 1)
    1.5514...

    Source: van den Oord et al., arXiv 1807.03748, eq. 4; Chen et al., "SimCLR", arXiv 2002.05709, eq. 1; with more
    than two of a label the same as ``pytorch_metric_learning.losses.NTXentLoss``.
    """

    temperature: float = param(default=0.1, gt=0, about="what cosines are divided by")

    def compare(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        s = similarities(x, x, self.temperature)
        return torch.where(positive, lost(s, s, negative), 0.0).sum(1), positive.sum(1).to(x)


class SupervisedContrastiveLoss(SetLoss):
    """Supervised contrastive: the mean over j like i of ``-log(e^s(i,j) / sum_a e^s(i,a))``, a any but i.

    As in `InfoNCELoss` s is the cosine over the temperature; unlike there the other positives are in the denominator,
    and every anchor i counts once. Anchors without a positive do not count.

    Use it to pretrain an embedding on labelled classes; a classifier on top comes after. Not where probabilities are
    the aim (`CrossEntropyLoss`), nor in batches with one sample of most classes: these do not count.

    >>> x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    >>> float(SupervisedContrastiveLoss(temperature=1.0)(x, torch.tensor([0, 0, 1, 1])))   # log(1 + 2 / e)
    0.5514...
    >>> float(SupervisedContrastiveLoss(temperature=1.0)(x, torch.tensor([0, 0, 0, 0])))   # log(2 + e) - 1 / 3
    1.2181...

    Source: Khosla et al., "Supervised Contrastive Learning", arXiv 2004.11362, eq. 2 (L_out), averaged over the
    anchors; the authors' code multiplies by temperature / 0.07.
    """

    temperature: float = param(default=0.1, gt=0, about="what cosines are divided by")

    def compare(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        logp = only(similarities(x, x, self.temperature), positive | negative).log_softmax(1)
        count = positive.sum(1)
        return -torch.where(positive, logp, 0.0).sum(1) / count.clamp(min=1), (count > 0).to(x)


class CLIPLoss(ViewsLoss):
    """CLIP's loss, InfoNCE across two encoders: mean of ``-log(e^s(i,i) / sum_j e^s(i,j))`` both ways; s as InfoNCE's.

    Use it for pairs across two encoders, such as image and text, in large batches. Not for two views by one encoder
    (`InfoNCELoss`), nor where a thing is in a batch twice: the two are held to be different.

    >>> a, b = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    >>> float(CLIPLoss(temperature=1.0)((a, b)))   # log(1 + 1 / e)
    0.3132...
    >>> float(CLIPLoss(temperature=1.0)((a, b.flip(0))))   # log(1 + e)
    1.3132...

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020,
    figure 3 (whose temperature, learnt, starts at 0.07); Zhang et al., arXiv 2010.00747, eq. 2 to 4.
    """

    temperature: float = param(default=0.07, gt=0, about="what cosines are divided by")

    def compare(self, a: Tensor, b: Tensor, other: Tensor) -> Tensor:
        s = similarities(a, b, self.temperature)
        own = s.diagonal().unsqueeze(1)
        return (lost(own, s, other) + lost(own, s.T, other)).squeeze(1) / 2


class MinedTripletLoss(TripletSetLoss):
    """Triplet loss of triplets mined in the batch: ``max(0, near - far + margin)``, or soft, as `TripletMarginLoss`.

    Use it to tell persons or faces apart, in batches of several classes with several samples each. Not with wrong
    labels and hard mining, which picks just those: mine semihard, or `SupervisedContrastiveLoss`.

    >>> x, labels = torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1])
    >>> float(MinedTripletLoss(margin=2.0)(x, labels))   # anchors: 1 - 3, 1 - 2, 4 - 2, 4 - 6, plus 2
    1.25
    >>> float(MinedTripletLoss(margin=2.0, mining="all")(x, labels))   # of eight: 1 - 2, 4 - 3 and 4 - 2, plus 2
    1.0

    Source: "hard" and "all" Hermans et al., "In Defense of the Triplet Loss", arXiv 1703.07737, eq. 5 and 6, their
    soft margin with ``margin=0``; "semihard" Schroff et al., "FaceNet", arXiv 1503.03832, section 3.2.
    """

    margin: float = param(default=0.3, ge=0, about="by how much far should exceed near")
    soft: bool = param(default=False, about="whether the hinge is rounded, so that every triplet keeps pulling")
    formula = TripletMarginLoss.formula
