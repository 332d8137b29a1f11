"""Focus: what gamma, alpha and class weights may change, and whose probability they look at."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.kinds import BINARY, LABELS, LOGITS, ROWS
from lossmith.flow.parameter import weights_or_none

FOCAL = "arXiv 1708.02002"


def cross_entropy(kind: str, batch: Batch) -> Tensor:
    """-log p of the target of every unit, in float64."""
    z, target = batch.input.double(), batch.labels
    if kind in BINARY:
        odds = torch.logit(z) if kind == "binary_prob" else z
        return F.softplus(torch.where(target > 0.5, -odds, odds)).reshape(batch.units, -1).sum(1)
    logp = z if kind == "log_prob" else z.log() if kind == "prob" else z.log_softmax(1)
    return -logp.gather(1, target.unsqueeze(1)).squeeze(1)


def units_alone(case: Case, batch: Batch, **changes: object) -> Tensor:
    """The value of every unit as a batch of its own."""
    return torch.tensor([case.number(one, **changes) for one in batch.single()], dtype=torch.float64)


def classes_of(batch: Batch) -> Tensor:
    """The class of every unit; of several labels, the first (their batches hold one label each)."""
    return batch.labels.reshape(batch.units, -1)[:, 0].long()


def plain(case: Case, units: int = 12, seed: int = 1) -> Batch:
    """Moderate logits, one label per unit."""
    batch = case.batch(units, seed=seed, dtype=torch.float64)
    return batch.map(lambda x: x[:, :1]) if case.kind.name == "multilabel" else batch


def spreads(ratio: Tensor, group: Tensor) -> dict[int, tuple[float, float]]:
    """The least and the largest ratio within each group."""
    return {int(g): (float(ratio[group == g].min()), float(ratio[group == g].max())) for g in group.unique()}  # type: ignore[no-untyped-call]


def neutral(case: Case) -> dict[str, object]:
    """Parameters that switch the focus off."""
    changes: dict[str, object] = {"gamma": 0.0}
    if case.accepts("alpha") and case.own is None:
        for value in (None, -1.0):
            try:
                case.value(case.batch(), gamma=0.0, alpha=value)
            except Exception:
                continue
            return changes | {"alpha": value}
    return changes


@check(
    *LABELS,
    expects="gamma = 0 is cross-entropy, up to one constant per class",
    why="Focal loss is cross-entropy times (1 - p)^gamma; with another loss at gamma = 0 it is something else.",
    link="BloodAxe/pytorch-toolbelt#78",
)
def gamma_0_is_cross_entropy(case: Case) -> str:
    case.need("gamma")
    if case.smoothed:
        raise NotApplicableError(f"with {case.smoothed} its target is a mixture")
    batch = plain(case)
    ratio = units_alone(case, batch, **neutral(case)) / cross_entropy(case.kind.name, batch)
    by_class = spreads(ratio, classes_of(batch))
    if not all(near(low, high, 1e-3) for low, high in by_class.values()):
        low, high = float(ratio.min()), float(ratio.max())
        raise MistakeError(f"between {low:.4g} and {high:.4g} times cross-entropy: not cross-entropy at gamma = 0")
    classes = batch.input.shape[1] if case.kind.name in ROWS else 1
    if classes > 1 and all(near(low, 1 / classes, 1e-3) for low, _ in by_class.values()):
        raise MistakeError(f"1/{classes} of cross-entropy: the mean divides by the number of classes too")
    constants = sorted({round(low, 4) for low, _ in by_class.values()})
    return "" if constants == [1.0] else f"cross-entropy times {', '.join(map(str, constants))}"


@check(
    *LABELS,
    expects="(1 - p)^gamma looks at the p of each example, not at that of the mean loss",
    why="The exponential of a mean cross-entropy is one number: nothing is focused, the learning rate changes.",
    link="clcarwin/focal_loss_pytorch#13",
    gradient=True,
)
def p_is_of_each_example(case: Case) -> None:
    batch = plain(case)
    value, (grad, *_) = case.slopes(batch)
    leaf = batch.input.clone().requires_grad_()
    reference = cross_entropy(case.kind.name, batch.put(leaf))
    (plain_grad,) = torch.autograd.grad(reference.mean(), leaf)
    strong = plain_grad.abs() > 1e-3 * plain_grad.abs().max()
    ratio = (grad.double()[strong] / plain_grad[strong]).flatten()
    constant = near(float(ratio.min()), float(ratio.max()), 1e-3)
    if constant and not near(float(ratio.mean()), float(value.double().sum() / reference.mean()), 1e-2):
        raise MistakeError(
            f"p is taken from the averaged cross-entropy: the gradient is {float(ratio.mean()):.4f} x that of "
            "cross-entropy everywhere"
        )


WEIGHTS = (0.25, 1.0, 4.0)


def with_vector(case: Case, name: str, numbers: tuple[float, ...]) -> Callable[[Batch], Tensor]:
    """The values of single units under a per-class vector, given as a tensor or as a list."""
    for vector in (torch.tensor(numbers), list(numbers)):
        try:
            case.value(case.batch(), **{name: vector})
        except Exception:
            continue
        return lambda batch, vector=vector: units_alone(case, batch, **{name: vector})  # type: ignore[misc]
    raise NotApplicableError(f"{name} takes no vector of one number per class")


def costs_alpha(case: Case) -> bool:
    """Whether `alpha` of a loss of lossmith's make is a class cost, and not a number of its formula."""
    return case.own is not None and case.accepts("alpha") and case.own.parameters_["alpha"].read is weights_or_none


def _alpha_may_be_costs(case: Case) -> bool:
    """A plain number, such as the alpha of Tversky, is of the formula."""
    return costs_alpha(case) if case.own is not None else not isinstance(case.subject.options.get("alpha"), int | float)


def per_class(case: Case) -> str:
    """The name of its per-class weight."""
    for name in ("weight", "class_weight", "class_weights", "alpha"):
        if case.accepts(name) and (name != "alpha" or _alpha_may_be_costs(case)):
            return name
    raise NotApplicableError("it has no parameter weight or alpha")


@check(
    "softmax",
    "log_prob",
    "prob",
    expects="a class weight multiplies the loss of its class, and changes nothing else",
    why="With p taken from a weighted cross-entropy, p becomes p^w: at p = 0.9, w = 10 the factor is 0.424, not 0.01.",
    link=FOCAL,
)
def a_class_weight_is_a_factor(case: Case) -> None:
    name = per_class(case)
    if case.smoothed:
        raise NotApplicableError(f"with {case.smoothed} a unit has a share of every class")
    batch = plain(case, 18).to(torch.float32)  # torch's own want weights of the inputs' dtype
    weighted = with_vector(case, name, WEIGHTS)(batch)
    ones = with_vector(case, name, (1.0, 1.0, 1.0))(batch)
    counts = ones > 1e-4 * ones.max()
    by_class = spreads((weighted / ones)[counts], classes_of(batch)[counts])
    if all(near(low, high, 1e-3) for low, high in by_class.values()):
        return
    powered = _powers(case, batch, ones, weighted)
    if powered:
        raise MistakeError("p is taken from the weighted cross-entropy: p becomes p^w")
    worst = max(by_class.values(), key=lambda pair: pair[1] / pair[0] if pair[0] > 0 else math.inf)
    raise MistakeError(
        f"within one class the weight multiplies by {worst[0]:.4g} to {worst[1]:.4g}: it changes the loss's shape"
    )


def _powers(case: Case, batch: Batch, ones: Tensor, weighted: Tensor) -> bool:
    """Whether (1 - p^w)^gamma explains the weighted values, up to one factor per class."""
    ce = cross_entropy(case.kind.name, batch)
    w = torch.tensor(WEIGHTS, dtype=torch.float64)[classes_of(batch)]
    p = torch.exp(-ce)
    gamma = torch.log(ones / ce) / torch.log1p(-p)  # what the unweighted values say
    if not near(float(gamma.min()), float(gamma.max()), 1e-2):
        return False
    ratio = weighted / ((1 - p**w) ** gamma.mean() * w * ce)
    return all(near(low, high, 1e-2) for low, high in spreads(ratio, classes_of(batch)).values())


@check(
    *LOGITS[:3],
    expects="at gamma = 0.5 the gradient is finite where p is exactly 1",
    why="The derivative of (1 - p)^gamma is infinite at p = 1 for gamma below 1: one perfect example makes NaN.",
    link="kaidic/LDAM-DRW#17",
    gradient=True,
)
def gamma_below_1_survives_certainty(case: Case) -> None:
    case.need("gamma")
    for size in (20.0, 40.0, 200.0):
        value, (grad, *_) = case.slopes(case.answer(size), gamma=0.5)
        if not (bool(value.isfinite().all()) and bool(grad.isfinite().all())):
            raise MistakeError(f"NaN or infinity at a right logit of {size:g}")


@check(
    "sigmoid",
    "multilabel",
    "binary_prob",
    expects="alpha weighs the positives and 1 - alpha the negatives",
    why="Implementations that weigh everything, or the other side, turn a remedy for imbalance into its reverse.",
    link=FOCAL,
)
def alpha_weighs_positives(case: Case) -> None:
    case.need("alpha")
    if case.own is not None and not costs_alpha(case):
        raise NotApplicableError("its alpha is a number of its own formula")
    if case.own is None and not case.accepts("gamma"):
        raise NotApplicableError("alpha of a loss without gamma may mean something else")
    batch = plain(case)
    group = classes_of(batch)
    high, low = units_alone(case, batch, alpha=0.9), units_alone(case, batch, alpha=0.1)
    counts = low > 1e-9  # an easy example may cost nothing
    found = tuple(float((high / low)[counts & (group == g)].median()) for g in (0, 1))
    if near(found[0], 1 / 9, 1e-2) and near(found[1], 9, 1e-2):
        return
    names = {(9, 1 / 9): "alpha weighs the negatives: swapped", (9, 9): "alpha weighs every example alike"}
    named = [text for (a, b), text in names.items() if near(found[0], a, 1e-2) and near(found[1], b, 1e-2)]
    seen = f"alpha 0.9 against 0.1: positives x {found[1]:.4g} (9), negatives x {found[0]:.4g} (0.111)"
    raise MistakeError(f"{named[0]}; {seen}" if named else seen)


@check(
    "sigmoid",
    "multilabel",
    "binary_prob",
    "margin",
    expects="pos_weight multiplies the positives, and leaves the negatives",
    why="It is the one remedy for imbalance that every tutorial names.",
    link="pytorch/pytorch#2221",
)
def pos_weight_weighs_positives(case: Case) -> None:
    case.need("pos_weight")
    batch = plain(case).to(torch.float32)
    positive = batch.labels.reshape(batch.units, -1)[:, 0] > 0
    three, one = (with_vector(case, "pos_weight", (number,))(batch) for number in (3.0, 1.0))
    want = torch.where(positive, 3 * one, one)
    if not agree(three, want, 1e-3):
        raise MistakeError("positives are not multiplied by 3, or negatives change")
