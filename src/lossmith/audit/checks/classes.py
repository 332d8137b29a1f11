"""Classes: their names carry no meaning, their probabilities add up to 1, and a soft target is a mixture."""

import torch
from torch.nn import functional as F

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, agree, finite, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.focus import per_class, plain, units_alone
from lossmith.audit.kinds import ROWS, one_hot

EPSILON = 0.1
TURN, FRONT = torch.tensor([2, 0, 1]), torch.tensor([0, 2, 1])  # class k becomes class TURN[k]; 0 stays


@check(
    *ROWS,
    "overlap",
    expects="renaming the classes changes nothing (of masks: those other than the background, 0)",
    why="One library gives class 0 another alpha, another drops channel 0 before the softmax.",
    link="Project-MONAI/MONAI#8117",
)
def class_names_do_not_matter(case: Case) -> None:
    if case.per_class or case.option("normalizer") == "positives":
        raise NotApplicableError("it was made with one number per class, or counts all but class 0")
    batch = case.batch()
    if batch.input.shape[1] != len(TURN):
        raise NotApplicableError("its sample has another number of classes than 3")
    turn = FRONT if case.kind.name == "overlap" else TURN
    turned = batch.put(batch.input[:, turn.argsort()], target=turn[batch.labels])
    one, two = case.value(batch), case.value(turned)
    if one.shape == two.shape and not agree(one.sum(), two.sum(), 1e-4):
        raise MistakeError(f"{float(one.sum()):.6g} becomes {float(two.sum()):.6g}")


@check(
    "softmax",
    expects="adding a constant to all logits of a row changes nothing",
    why="A softmax does not see it. A loss that does is not one of softmax: one-vs-rest sigmoids are another model.",
    link="qubvel-org/segmentation_models.pytorch#671",
)
def a_softmax_sees_differences_only(case: Case) -> None:
    batch = case.batch()
    shifted = batch.put(batch.input + 3.0)
    one, two = case.number(batch), case.number(shifted)
    if not near(one, two, 1e-4):
        rest = units_alone(case, plain(case)) / one_vs_rest(plain(case))
        like = near(float(rest.min()), float(rest.max()), 1e-2)
        name = "one-vs-rest sigmoid, not softmax; " if like or _treats_logits_alone(case) else ""
        raise MistakeError(f"{name}{one:.6g} becomes {two:.6g}")


def one_vs_rest(batch: Batch) -> torch.Tensor:
    """The binary cross-entropies of all classes, added up per row."""
    target = one_hot(batch.labels, batch.input.shape[1])
    return F.binary_cross_entropy_with_logits(batch.input, target, reduction="none").sum(1)


def _treats_logits_alone(case: Case) -> bool:
    """Whether the gradient of one logit does not depend on the other logits of its row."""
    if not case.differentiable:
        return False
    batch = case.batch(1)
    moved = batch.input.clone()
    moved[:, 1] += 1.0
    a, b = case.slope(batch)[0], case.slope(batch.put(moved))[0]
    return near(float(a[0]), float(b[0]), 1e-4) and near(float(a[2]), float(b[2]), 1e-4)


@check(
    *ROWS,
    expects="one-hot probabilities cost what the class index costs, gradient included",
    why="Mixup and distillation mix them in one run.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
)
def soft_one_hot_is_hard(case: Case) -> None:
    batch = case.batch()
    soft = batch.put(batch.input, target=one_hot(batch.labels, batch.input.shape[1]).to(batch.input.dtype))
    try:
        got = case.value(soft)
    except LossRaisedError as raised:
        raise NotApplicableError(f"it takes class indices only: {raised}") from raised
    want = case.value(batch)
    if got.shape != want.shape or not agree(got, want, 1e-4, 1e-6):
        raise MistakeError(f"{float(got.sum()):.6g} for one-hot rows, {float(want.sum()):.6g} for indices")
    if case.differentiable and not agree(case.slope(soft), case.slope(batch), 1e-3, 1e-6):
        raise MistakeError("the value agrees, the gradient does not")


@check(
    "softmax",
    expects="a class that is ruled out (logit -inf) leaves value and gradient finite",
    why="Masked vocabularies and illegal actions are written so.",
    link="google-deepmind/optax#896",
)
def a_class_may_be_ruled_out(case: Case) -> None:
    if case.smoothed:
        raise NotApplicableError("a smoothed target gives every class a share: it cannot be ruled out")
    z = torch.tensor([[1.0, 0.5, float("-inf")], [0.0, 2.0, float("-inf")]])
    batch = Batch((z,), torch.tensor([0, 1]))
    if not finite(case.value(batch)):
        raise MistakeError("the value is NaN or infinite")
    if case.differentiable and not finite(*case.slopes(batch)[1]):
        raise MistakeError("the value is finite, its gradient is not")


@check(
    "softmax",
    expects="label_smoothing is the loss of the smoothed target, epsilon / C on every class",
    why="epsilon / (C - 1) on the others is another loss of the same name.",
    link="arXiv 1512.00567",
)
def smoothing_is_a_smoothed_target(case: Case) -> str:
    name = case.need("label_smoothing")
    if case.per_class:
        raise NotApplicableError("it was made with one number per class, which a mixture mixes too")
    batch, total = case.batch(), {"reduction": "sum"} if case.accepts("reduction") else {}
    classes = batch.input.shape[1]
    hard = one_hot(batch.labels, classes)
    spread = {
        "epsilon / C": (1 - EPSILON) * hard + EPSILON / classes,
        "epsilon / (C - 1) on the other classes": (1 - EPSILON) * hard + EPSILON / (classes - 1) * (1 - hard),
    }
    got = case.number(batch, **{name: EPSILON}, **total)
    try:
        want = {
            words: case.number(batch.put(batch.input, target=q.float()), **{name: 0.0}, **total)
            for words, q in spread.items()
        }
    except LossRaisedError as raised:
        raise NotApplicableError(f"it takes no class probabilities to compare with: {raised}") from raised
    for words, value in want.items():
        if near(got, value, 1e-4):
            if words != "epsilon / C":
                raise MistakeError(f"it is {words}")
            return words
    raise MistakeError(f"{got:.6g}; the smoothed target costs {want['epsilon / C']:.6g}")


@check(
    "softmax",
    expects="with class weights and smoothing together the minimum stays at the smoothed target",
    why="With the weights inside the sum, weight [1, 100] and epsilon 0.1 put p(y = 0) at 0.16, not 0.95.",
    link="pytorch/pytorch#104776",
)
def weights_do_not_move_the_smoothed_minimum(case: Case) -> None:
    name, weight = case.need("label_smoothing"), per_class(case)
    sizes = torch.arange(-4.0, 8.0, 0.25)
    options = {name: EPSILON}

    def least(**changes: object) -> float:
        values = [case.number(Batch((torch.tensor([[float(s), 0.0]]),), torch.tensor([0])), **changes) for s in sizes]
        return float(torch.sigmoid(sizes[torch.tensor(values).argmin()]))

    try:
        without, with_weights = least(**options), least(**options, **{weight: torch.tensor([1.0, 100.0])})
    except LossRaisedError as raised:
        raise NotApplicableError(f"it takes no two weights: {raised}") from raised
    if abs(without - with_weights) > 0.02:
        raise MistakeError(
            f"the minimum is at p = {without:.2f} without weights, at p = {with_weights:.2f} with [1, 100]"
        )
