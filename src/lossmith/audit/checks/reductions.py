"""Reductions: none, sum and mean are three views of the same values."""

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, LossRaisedError, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.focus import WEIGHTS, per_class
from lossmith.audit.kinds import OVERLAP, POINTWISE, ROWS

COUNTED = (*POINTWISE, "divergence", "pairs", "score_pairs", "triplets", "gaussian")


def reduced(case: Case, word: str, batch: Batch, **changes: object) -> torch.Tensor:
    """The value under a reduction, if it has it."""
    case.need("reduction")
    return case.value(batch, reduction=word, **changes)


@check(
    expects='reduction="none" gives one value per unit',
    why="Weights, curricula and logs per example need the single values.",
    link="Project-MONAI/MONAI#3025",
)
def none_gives_single_values(case: Case) -> None:
    if case.kind.name in OVERLAP or case.option("scope", "unit") != "unit":
        raise NotApplicableError("its values are of classes, images or sets")
    batch = case.batch()
    value = reduced(case, "none", batch)
    if value.numel() < batch.units:
        raise MistakeError(f"{value.numel()} value(s) of shape {list(value.shape)} for {batch.units} units")


@check(
    expects='the values of reduction="none" add up to those of "sum"',
    why="Three branches of one function drift apart: a weight or a mask is forgotten in one of them.",
    link="pytorch/pytorch#69339",
)
def none_adds_up_to_sum(case: Case) -> None:
    batch = case.batch()
    one, two = float(reduced(case, "none", batch).double().sum()), float(reduced(case, "sum", batch).double())
    if not near(one, two, 1e-4):
        raise MistakeError(f"none adds up to {one:.6g}, sum is {two:.6g}")


@check(
    *COUNTED,
    expects="the mean is the sum over the number of units",
    why="A mean that divides by classes as well makes the gradient C times smaller, and the learning rate wrong.",
    link="Project-MONAI/MONAI#8757",
)
def mean_is_sum_over_count(case: Case) -> str:
    if case.per_class or isinstance(case.option("normalizer"), float):
        raise NotApplicableError("it was made with one number per class, or with a denominator of its own")
    batch = case.batch()
    ratio = float(reduced(case, "sum", batch).double()) / float(reduced(case, "mean", batch).double())
    n, width = batch.units, batch.input.numel() // batch.units
    if case.own is None and case.kind.name in ("pairs", "triplets"):
        width = 1
    if near(ratio, n, 1e-3) or (case.kind.name == "multilabel" and near(ratio, n * width, 1e-3)):
        return ""
    if width > 1 and near(ratio, n * width, 1e-3):
        raise MistakeError(f"the mean divides by {n} x {width}: by the number of classes too")
    positives = int((batch.labels > 0).sum()) if batch.target is not None else 0
    if positives and near(ratio, positives, 1e-3):
        return "the mean divides by the number of positives"
    raise MistakeError(f"sum / mean = {ratio:.5g} for {n} units")


@check(
    *ROWS,
    expects="a weighted mean divides by the sum of the weights of its units, or by their number",
    why="Normalising the weights and dividing by their sum divides twice.",
    link="pytorch/pytorch#72047",
)
def weighted_mean_has_a_known_denominator(case: Case) -> str:
    name = per_class(case)
    if case.option("normalizer", "weight") not in ("weight", "count"):
        raise NotApplicableError("it was made with another denominator")
    batch = case.batch(9)
    vector = torch.tensor(WEIGHTS)
    try:
        total = float(reduced(case, "sum", batch, **{name: vector}).double())
        mean = float(reduced(case, "mean", batch, **{name: vector}).double())
    except LossRaisedError as error:
        raise NotApplicableError(f"{name} takes no vector of one number per class") from error
    weights = float(vector[batch.labels].sum())
    for divisor, words in ((weights, "the sum of weights"), (batch.units, "the number of units")):
        if near(total / mean, divisor, 1e-3):
            return f"the mean divides by {words}"
    raise MistakeError(f"sum / mean = {total / mean:.5g}; the weights sum to {weights:g}, the units are {batch.units}")


@check(
    *POINTWISE,
    "divergence",
    expects="a batch taken twice has the mean of the batch",
    why="A mean that grows or falls with the size of the batch couples the learning rate to it.",
    link="qubvel-org/segmentation_models.pytorch#712",
)
def batch_twice_is_batch_once(case: Case) -> None:
    one = case.batch(16)
    if case.over == "units":
        raise NotApplicableError("it gives one value per unit")
    if case.over == "sum":
        raise NotApplicableError("it is a sum, by default")
    a, b = case.number(one), case.number(one.take(torch.arange(16).repeat(2)))
    if not near(a, b, 1e-3):
        raise MistakeError(f"{a:.6g} once, {b:.6g} twice ({b / a:.4g} times)")


@check(
    *POINTWISE,
    expects="an image [N, C, H, W] is its pixels as rows [N * H * W, C]",
    why="Losses that take the classes along another axis, or average per image first, differ from their own formula.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
)
def an_image_is_its_pixels(case: Case) -> None:
    flat = case.batch(30)
    image = flat.map(lambda x: x.reshape(2, 3, 5, *x.shape[1:]).movedim(-1, 1) if x.dim() > 1 else x.reshape(2, 3, 5))
    case.need_unitwise()
    try:
        value = case.number(image)
    except LossRaisedError as error:
        raise NotApplicableError(f"it takes no images: {error}") from error
    if not near(value, case.number(flat), 1e-4):
        raise MistakeError(f"{value:.6g} as an image, {case.number(flat):.6g} as rows")
