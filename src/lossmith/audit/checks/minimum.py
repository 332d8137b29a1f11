"""Minimum: where the loss is least, and whether a wrong answer costs more than a right one."""

import math

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.kinds import LABELS, OVERLAP, ROWS

SIZES = (*(k / 2 for k in range(-16, 17)), 12.0, 16.0, 20.0)  # log-odds of the right answer
DECIDED = 0.95  # a minimum beyond this p is where it should be
TRUSTED = (*LABELS, "margin", *OVERLAP)


def curve(case: Case) -> dict[float, torch.Tensor]:
    """The loss of one example of every class (or of a batch of masks), for each confidence in the right answer."""
    return case.once("curve", lambda: _curve(case))  # type: ignore[no-any-return]


def _curve(case: Case) -> dict[float, torch.Tensor]:
    if case.smoothed and case.kind.name in LABELS:
        raise NotApplicableError(f"with {case.smoothed} its minimum is elsewhere, on purpose")
    batches = examples(case)
    return {
        size: torch.tensor([case.number(case.answer(size, one)) for one in batches], dtype=torch.float64)
        for size in SIZES
    }


def examples(case: Case) -> list[Batch]:
    """One example of every class; a batch of masks."""
    batch = case.batch(12, dtype=torch.float64)
    if case.kind.name in OVERLAP:
        return [case.batch(2, dtype=torch.float64)]
    first = batch.labels.reshape(batch.units, -1)[:, 0]
    return [
        batch.take(first.tolist().index(value) + torch.zeros(1, dtype=torch.int64)) for value in set(first.tolist())
    ]


def probability(case: Case, size: float) -> float:
    """p of the right answer at this confidence."""
    others = case.batch().input.shape[1] - 1 if case.kind.name in (*ROWS, "overlap") else 1
    return 1 / (1 + others * math.exp(-size))


@check(
    *TRUSTED,
    expects="the minimum lies at the right answer: nothing short of certainty costs less",
    why="A loss whose minimum is elsewhere trains the model there: DSC with alpha = 1 ends at p = 0.5.",
    link="arXiv 1911.02855",
)
def the_minimum_is_the_right_answer(case: Case) -> str:
    found = curve(case)
    values = torch.stack([found[size] for size in SIZES])
    least, end = values.min(0), values[-1]
    span = float(values.max() - values.min())
    for value, at, last in zip(least.values, least.indices, end, strict=True):
        p = probability(case, SIZES[int(at)])
        decided = p > DECIDED or (case.kind.name == "margin" and SIZES[int(at)] > 0)
        if not decided and float(last - value) > 1e-3 * span:
            raise MistakeError(f"the minimum is at p = {p:.3f} ({value:.4g}), where certainty costs {last:.4g}")
    lowest = min(probability(case, SIZES[int(at)]) for at in least.indices)
    return f"at p = {lowest:.3f}, not 1" if lowest < 0.995 else ""


@check(
    *LABELS,
    "margin",
    expects="a confident wrong answer costs at least nine tenths of the most that any answer costs",
    why="Where confident mistakes get cheap again, the worst examples of the data set are left alone.",
    link="arXiv 1911.02855",
)
def a_confident_mistake_is_not_cheap(case: Case) -> None:
    found = curve(case)
    most = torch.stack([found[size] for size in SIZES]).max(0).values
    wrong = found[SIZES[0]]
    if bool((wrong < 0.9 * most - 1e-9).any()):
        k = int((wrong - most).argmin())
        raise MistakeError(
            f"wrong by {-SIZES[0]:g} logits costs {wrong[k]:.4g}, less than a milder mistake at {most[k]:.4g}"
        )


@check(
    *LABELS,
    *OVERLAP,
    expects="certainty in the right answer costs less than half of not knowing",
    why="A perfect prediction that keeps a large loss says that numerator and denominator are of different sets.",
    link="ShannonAI/dice_loss_for_NLP#24",
)
def certainty_pays(case: Case) -> None:
    found = curve(case)
    sure, unsure = found[20.0], found[0.0]
    if bool((unsure <= 0).any()):
        raise NotApplicableError("not knowing costs nothing or less: the values have no zero to compare with")
    if bool((sure > 0.5 * unsure).any()):
        k = int((sure / unsure).argmax())
        raise MistakeError(f"certainty costs {sure[k]:.4g}, not knowing {unsure[k]:.4g}")


@check(
    *LABELS,
    "margin",
    *OVERLAP,
    expects="more confidence in the right answer never costs more, up to a log-odds of 2",
    why="Where the slope turns, gradient descent pushes the answer away from the right one.",
    link="arXiv 1911.02855",
)
def it_falls_towards_the_right_answer(case: Case) -> None:
    found = curve(case)
    last = 0.5 if case.kind.name == "margin" else 2.0  # least squares on a margin turns at 1
    sizes = [size for size in SIZES if -4 <= size <= last]
    values = torch.stack([found[size] for size in sizes])
    rises = values.diff(dim=0) > 1e-3 * float(values.max() - values.min())
    if bool(rises.any()):
        k = int(rises.any(1).nonzero()[0])
        raise MistakeError(f"from a log-odds of {sizes[k]:g} to {sizes[k + 1]:g} for the right answer, the loss rises")


@check(
    *LABELS,
    "margin",
    *OVERLAP,
    expects="no value below 0, right or wrong as the answer may be",
    why="A negative loss of labels is a sum that lost its bound: a target outside its range, or 1 minus a sum.",
    link="faustomilletari/VNet#13",
)
def never_below_0(case: Case) -> None:
    for seed in (1, 2):
        values = case.value(case.batch(4, seed=seed))
        if bool((values < -1e-6).any()):
            raise MistakeError(f"{float(values.min()):.4g}")
    least = min(float(values.min()) for values in curve(case).values())
    if least < -1e-6:
        raise MistakeError(f"{least:.4g}")
