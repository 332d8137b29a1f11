"""Overlap: true and false positives of masks, and what an empty mask costs."""

import torch
from torch import Tensor

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, agree, finite, near
from lossmith.audit.check import MistakeError, NotApplicableError, check
from lossmith.audit.checks.numbers import half
from lossmith.audit.kinds import OVERLAP

SURE = 30.0


def masks(case: Case, predicted: Tensor, target: Tensor) -> Batch:
    """Crisp predictions of one foreground class, [N, H, W] of 0 and 1, in the layout of the kind."""
    target = target.long()
    predicted = predicted.bool()
    if case.kind.name == "overlap_sigmoid":
        channels = case.batch(1).input.shape[1]
        if channels != 1:
            raise NotApplicableError("its sample has several labels")
        return Batch((torch.where(predicted, SURE, -SURE).unsqueeze(1),), target.unsqueeze(1).float())
    z = torch.stack([torch.where(predicted, -SURE, SURE), torch.where(predicted, SURE, -SURE)], dim=1)
    return Batch((z,), target)


def counted(case: Case, tp: int, fp: int, fn: int, side: int = 8) -> Batch:
    """A mask with these many true and false positives and false negatives."""
    predicted, target = torch.zeros(1, side * side), torch.zeros(1, side * side)
    predicted[0, : tp + fp] = 1
    target[0, :tp] = 1
    target[0, tp + fp : tp + fp + fn] = 1
    return masks(case, predicted.view(1, side, side), target.view(1, side, side))


@check(
    *OVERLAP,
    expects="Tversky: alpha weighs false positives and beta false negatives, TP / (TP + alpha FP + beta FN)",
    why="Swapped, the loss favours what it should punish: more false alarms instead of fewer misses.",
    link="keras-team/keras#23333",
)
def alpha_is_for_false_positives(case: Case) -> None:
    case.need("alpha")
    case.need("beta")
    alarms, misses = counted(case, 6, 4, 0), counted(case, 6, 0, 4)
    cost = {a: (case.number(alarms, alpha=a, beta=1 - a), case.number(misses, alpha=a, beta=1 - a)) for a in (0.9, 0.1)}
    by_alarm, by_miss = cost[0.9][0] - cost[0.1][0], cost[0.9][1] - cost[0.1][1]
    if by_alarm > 1e-3 and by_miss < -1e-3:
        return
    if by_alarm < -1e-3 and by_miss > 1e-3:
        raise MistakeError("alpha weighs false negatives and beta false positives: swapped")
    raise MistakeError(
        f"alpha 0.9 instead of 0.1: false positives cost {by_alarm:+.4g}, false negatives {by_miss:+.4g}"
    )


@check(
    *OVERLAP,
    expects="an empty mask that is predicted empty costs next to nothing, with a finite gradient",
    why="0 / 0 without smoothing, or smoothing in the denominator alone: half of all slices are empty.",
    link="open-mmlab/mmocr#408",
)
def an_empty_mask_found_empty_is_free(case: Case) -> None:
    nothing = torch.zeros(2, 8, 8)
    batch = masks(case, nothing, nothing)
    value = case.value(batch)
    if not finite(value):
        raise MistakeError("the value is NaN")
    if float(value.max()) > 0.1:
        raise MistakeError(f"a perfect empty prediction costs {float(value.max()):.4g}")
    if case.differentiable and not finite(*case.slopes(batch)[1]):
        raise MistakeError("the gradient is NaN")


@check(
    *OVERLAP,
    expects="false positives on an empty mask cost something, and have a gradient",
    why="A loss that skips empty masks never unlearns false alarms.",
    link="qubvel-org/segmentation_models.pytorch#712",
    gradient=True,
)
def false_alarms_on_an_empty_mask_cost(case: Case) -> None:
    nothing = torch.zeros(2, 8, 8)
    sure = masks(case, torch.ones(2, 8, 8), nothing)
    if float(case.value(sure).max()) < 0.05:
        raise MistakeError(f"a full false alarm costs {float(case.value(sure).max()):.4g}")
    unsure = sure.put(sure.input / SURE)
    if float(case.slope(unsure).abs().max()) == 0:
        raise MistakeError("the gradient is 0")


@check(
    *OVERLAP,
    expects="float16 masks that are empty: finite",
    why="smooth = 1e-8 is 0 in float16: 0 / 0.",
    link="tensorflow/tensorflow#45568",
)
def float16_on_an_empty_mask(case: Case) -> None:
    nothing = torch.zeros(1, 8, 8)
    half(case, torch.float16, masks(case, nothing, nothing))


@check(
    *OVERLAP,
    expects="two copies of an image have the loss of one",
    why="Sums over the batch with a mean over images make the loss fall, or grow, with the batch.",
    link="BloodAxe/pytorch-toolbelt#99",
)
def two_images_are_one(case: Case) -> None:
    one = counted(case, 200, 60, 90, side=32)
    if case.own is not None and getattr(case.own, "reduction", "mean") != "mean":
        raise NotApplicableError("it does not average")
    two = one.map(lambda x: torch.cat([x, x]))
    a, b = case.number(one), case.number(two)
    if not near(a, b, 0.02):
        raise MistakeError(f"{a:.5g} for one image, {b:.5g} for two of it")


@check(
    *OVERLAP,
    expects="between 0 and 1 where the overlap is perfect or none, and in between otherwise",
    why="An overlap outside [0, 1] counts something twice.",
    link="faustomilletari/VNet#13",
)
def more_overlap_costs_less(case: Case) -> None:
    perfect, partial, none = counted(case, 12, 0, 0), counted(case, 6, 6, 6), counted(case, 0, 12, 12)
    values = [case.number(batch) for batch in (perfect, partial, none)]
    if not values[0] < values[1] < values[2]:
        raise MistakeError(f"perfect {values[0]:.4g}, half {values[1]:.4g}, none {values[2]:.4g}")
    if values[0] > 0.05:
        raise MistakeError(f"a perfect mask costs {values[0]:.4g}")


@check(
    *OVERLAP,
    expects="the shape of an image does not matter: turned, it costs the same",
    why="Sums over the wrong axes mix classes with rows as soon as the numbers agree.",
    link="kornia/kornia#3032",
)
def a_turned_image_costs_the_same(case: Case) -> None:
    batch = case.batch(2)
    turned = batch.map(lambda x: x.transpose(-1, -2))
    a, b = case.value(batch), case.value(turned)
    if a.dim() < 2 and not agree(a, b, 1e-4):
        raise MistakeError(f"{float(a.sum()):.6g} upright, {float(b.sum()):.6g} turned")
