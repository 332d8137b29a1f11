"""Losses that are wrong on purpose: the mistakes of tutorials and libraries, each with the checks that must name it.

They are written as people write them. `WRONG` is the list; a check that nothing here trips is a defect of the suite.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MARK = 255


@dataclass(frozen=True)
class Wrong:
    """A wrong loss, its kind, the checks that must fail on it, and words that one of their answers must hold."""

    loss: Callable[..., Any]
    kind: str
    trips: tuple[str, ...]
    words: str = ""


WRONG: list[Wrong] = []


def wrong(kind: str, *trips: str, words: str = "") -> Callable[[Any], Any]:
    def enter(loss: Any) -> Any:
        WRONG.append(Wrong(loss, kind, trips, words))
        return loss

    return enter


def rows(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none")


def reduced(x: Tensor, reduction: str) -> Tensor:
    return {"none": x, "sum": x.sum(), "mean": x.mean()}[reduction]


# The eight of the assignment -----------------------------------------------------------------------------------------


@wrong("softmax", "p_is_of_each_example", words="p is taken from the averaged cross-entropy: the gradient is 1.")
class FocalFromMean(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        ce = F.cross_entropy(input, target)
        return (1 - torch.exp(-ce)) ** self.gamma * ce


@wrong("softmax", "a_class_weight_is_a_factor", words="p becomes p^w")
class FocalFromWeighted(nn.Module):
    def __init__(self, gamma: float = 2.0, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma, self.reduction = gamma, reduction
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        ce = F.cross_entropy(input, target, weight=self.weight, reduction="none")
        return reduced((1 - torch.exp(-ce)) ** self.gamma * ce, self.reduction)


def counts(p: Tensor, t: Tensor, dims: tuple[int, ...] = (1, 2, 3)) -> tuple[Tensor, Tensor, Tensor]:
    return (p * t).sum(dims), (p * (1 - t)).sum(dims), ((1 - p) * t).sum(dims)


@wrong(
    "overlap_sigmoid",
    "alpha_is_for_false_positives",
    words="alpha weighs false negatives and beta false positives: swapped",
)
def tversky_swapped(input: Tensor, target: Tensor, *, alpha: float = 0.3, beta: float = 0.7) -> Tensor:
    tp, fp, fn = counts(input.sigmoid(), target)
    return 1 - ((tp + 1) / (tp + alpha * fn + beta * fp + 1)).mean()


@wrong("overlap_sigmoid", "float16_on_an_empty_mask", "float16_over_many_units", words="the value is nan")
def dice_half(input: Tensor, target: Tensor) -> Tensor:
    p, t = input.sigmoid().to(input.dtype), target.to(input.dtype)
    p, t = p * (p > 1e-3), t
    total = p.sum((1, 2, 3)) + t.sum((1, 2, 3))
    return 1 - ((2 * (p * t).sum((1, 2, 3)) + 1e-8) / (total + 1e-8)).mean()


@wrong("softmax", "ignored_is_deleted", words="the mean is over all units, the ignored among them")
def mean_over_ignored(input: Tensor, target: Tensor, *, ignore_index: int = -100) -> Tensor:
    return F.cross_entropy(input, target, ignore_index=ignore_index, reduction="none").mean()


@wrong("softmax", "ignored_is_deleted", words="the mean is over all units, the ignored among them")
def mean_over_minus_100(input: Tensor, target: Tensor) -> Tensor:
    """It never says that it ignores -100, and cross_entropy does."""
    ce = F.cross_entropy(input, target, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


@wrong(
    "sigmoid",
    *(f"gradient_at_{size}" for size in (17, 40, 89, 200, 10000)),
    words="the probability is clipped",
)
def clipped(input: Tensor, target: Tensor) -> Tensor:
    p = input.sigmoid().clamp(1e-7, 1 - 1e-7)
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


@wrong(
    "sigmoid",
    "the_minimum_is_the_right_answer",
    "a_confident_mistake_is_not_cheap",
    "certainty_pays",
    "it_falls_towards_the_right_answer",
    words="the minimum is at p = 0.5",
)
def dsc(input: Tensor, target: Tensor, *, alpha: float = 1.0, smooth: float = 1.0) -> Tensor:
    p = input.sigmoid()
    own = (1 - p) ** alpha * p
    return (1 - (2 * own * target + smooth) / (own + target + smooth)).mean()


@wrong(
    "sigmoid", "state_survives_a_round_trip", "the_first_call_is_not_biased", words="the state is lost in state_dict"
)
class GHMLost(nn.Module):
    """Gradient harmonising with an average of the bins that is no buffer, and starts at 0."""

    def __init__(self, bins: int = 10, momentum: float = 0.75) -> None:
        super().__init__()
        self.bins, self.momentum = bins, momentum
        self.seen = [0.0] * bins

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        g = (input.sigmoid() - target).abs().detach()
        index = (g * self.bins).long().clamp(max=self.bins - 1)
        weight = torch.zeros_like(input)
        for k in range(self.bins):
            inside = index == k
            self.seen[k] = self.momentum * self.seen[k] + (1 - self.momentum) * float(inside.sum())
            if self.seen[k] > 0:
                weight[inside] = 1 / (self.seen[k] * self.bins)
        return (weight * F.binary_cross_entropy_with_logits(input, target, reduction="none")).sum()


# Basics --------------------------------------------------------------------------------------------------------------


@wrong("softmax", "a_plain_batch_works")
def nan_at_once(input: Tensor, target: Tensor) -> Tensor:
    return (input - input.amax(1, keepdim=True)).log().mean() + rows(input, target).mean()


@wrong("softmax", "it_trains")
def detached(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input.detach(), target) + 0 * input.sum()


@wrong("softmax", "nothing_is_written")
def writes(input: Tensor, target: Tensor) -> Tensor:
    input.data.sub_(input.data.amax(1, keepdim=True))
    return F.cross_entropy(input, target)


@wrong("softmax", "layout_in_memory_does_not_matter")
def assumes_contiguous(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input.as_strided(input.shape, (input.shape[1], 1)), target)


@wrong("softmax", "it_repeats")
def of_its_own_dice(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input, target) * (1 + 0.1 * random.random())


@wrong("softmax", "nan_is_not_swallowed")
def nan_to_zero(input: Tensor, target: Tensor) -> Tensor:
    return rows(torch.nan_to_num(input), target).mean()


@wrong("softmax", "order_does_not_matter")
def weighs_by_place(input: Tensor, target: Tensor) -> Tensor:
    return (rows(input, target) * torch.linspace(0.5, 1.5, len(input), dtype=input.dtype)).mean()


@wrong("regression", "one_example_is_enough")
def over_its_deviation(input: Tensor, target: Tensor) -> Tensor:
    return ((input - target) ** 2).mean() / target.std()


@wrong("softmax", "never_below_0")
def minus_p(input: Tensor, target: Tensor) -> Tensor:
    return -input.softmax(1).gather(1, target[:, None]).mean() + 0.3


@wrong("sigmoid", *(f"gradient_at_{size}" for size in (89, 200, 10000)), "float16_at_logit_40")
def exponentials(input: Tensor, target: Tensor) -> Tensor:
    return (torch.log1p(torch.exp(input)) - target * input).mean()


# Focus ---------------------------------------------------------------------------------------------------------------


@wrong("softmax", "gamma_0_is_cross_entropy", "mean_is_sum_over_count", words="1/3 of cross-entropy")
def divided_by_classes(input: Tensor, target: Tensor, *, gamma: float = 2.0, reduction: str = "mean") -> Tensor:
    t = F.one_hot(target, input.shape[1]).to(input.dtype)
    logp = input.log_softmax(1)
    return reduced(-((1 - logp.exp()) ** gamma) * t * logp, reduction)


@wrong("softmax", "gamma_0_is_cross_entropy", "a_softmax_sees_differences_only", words="one-vs-rest")
def one_vs_rest(input: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    t = F.one_hot(target, input.shape[1]).to(input.dtype)
    bce = F.binary_cross_entropy_with_logits(input, t, reduction="none")
    return ((1 - torch.exp(-bce)) ** gamma * bce).sum(1).mean()


@wrong("softmax", "gamma_below_1_survives_certainty", "impossible_parameters_are_refused")
def infinite_slope(input: Tensor, target: Tensor, *, gamma: float = 2.0) -> Tensor:
    ce = rows(input, target)
    return ((1 - torch.exp(-ce)) ** gamma * ce).mean()


@wrong("sigmoid", "alpha_weighs_positives", words="swapped")
def alpha_swapped(input: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    bce = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return ((alpha * (1 - target) + (1 - alpha) * target) * (1 - torch.exp(-bce)) ** gamma * bce).mean()


@wrong("sigmoid", "alpha_weighs_positives", words="every example alike")
def alpha_for_all(input: Tensor, target: Tensor, *, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    bce = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return (alpha * (1 - torch.exp(-bce)) ** gamma * bce).mean()


@wrong("sigmoid", "pos_weight_weighs_positives")
def pos_weight_for_all(input: Tensor, target: Tensor, *, pos_weight: Tensor | None = None) -> Tensor:
    bce = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return (bce if pos_weight is None else bce * pos_weight).mean()


# Classes -------------------------------------------------------------------------------------------------------------


@wrong("softmax", "class_names_do_not_matter")
def class_0_is_background(input: Tensor, target: Tensor) -> Tensor:
    return (torch.where(target == 0, 0.25, 0.75).to(input.dtype) * rows(input, target)).mean()


@wrong("softmax", "soft_one_hot_is_hard")
def soft_over_all(input: Tensor, target: Tensor) -> Tensor:
    if target.is_floating_point() and target.shape == input.shape:
        return -(target * input.log_softmax(1)).mean()
    return F.cross_entropy(input, target)


@wrong("softmax", "a_class_may_be_ruled_out")
def zero_times_infinity(input: Tensor, target: Tensor) -> Tensor:
    t = F.one_hot(target, input.shape[1]).to(input.dtype)
    return -(t * input.log_softmax(1)).sum(1).mean()


@wrong("softmax", "smoothing_is_a_smoothed_target", words="epsilon / (C - 1)")
def smooths_the_others(input: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    if not target.is_floating_point():
        classes = input.shape[1]
        t = F.one_hot(target, classes).to(input.dtype)
        target = (1 - label_smoothing) * t + label_smoothing / (classes - 1) * (1 - t)
    return -(target * input.log_softmax(1)).sum(1).mean()


@wrong(
    "softmax",
    "weights_do_not_move_the_smoothed_minimum",
    "an_empty_batch",
    "all_ignored",
    "nan_behind_ignored_stays_out",
)
class TorchCrossEntropy(nn.CrossEntropyLoss):
    """torch's own, as it is."""


# Reductions ----------------------------------------------------------------------------------------------------------


@wrong("softmax", "none_gives_single_values", "mean_is_sum_over_count", "an_unknown_reduction_is_refused")
def takes_no_notice(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    return F.cross_entropy(input, target)


@wrong("softmax", "none_adds_up_to_sum", "sums_of_micro_batches_add_up", "mean_is_sum_over_count")
def sum_is_a_mean(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    x = rows(input, target)
    return x if reduction == "none" else x.mean() * (2 if reduction == "sum" else 1)


@wrong("softmax", "weighted_mean_has_a_known_denominator")
def divides_twice(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    x = rows(input, target)
    if weight is None:
        return reduced(x, reduction)
    w = weight.to(x.dtype)[target]
    return reduced(x * w, reduction) if reduction != "mean" else (x * w).sum() / w.sum() / w.mean()


@wrong("softmax", "batch_twice_is_batch_once")
def root_of_the_count(input: Tensor, target: Tensor) -> Tensor:
    return rows(input, target).sum() / len(input) ** 0.5


@wrong("softmax", "an_image_is_its_pixels")
def softmax_of_the_last_axis(input: Tensor, target: Tensor) -> Tensor:
    return -input.log_softmax(-1).gather(1, target.unsqueeze(1)).mean()


# Ignoring ------------------------------------------------------------------------------------------------------------


@wrong("softmax", "ignored_has_gradient_0", "ignored_is_deleted")
def ignored_is_class_0(input: Tensor, target: Tensor, *, ignore_index: int = -100) -> Tensor:
    keep = target != ignore_index
    x = rows(input, torch.where(keep, target, 0))
    return (x * torch.where(keep, 1.0, 0.01).to(x.dtype)).sum() / keep.sum().clamp(min=1)


@wrong("softmax", "nan_behind_ignored_stays_out")
def masks_afterwards(input: Tensor, target: Tensor, *, ignore_index: int = -100) -> Tensor:
    keep = target != ignore_index
    return (rows(input, torch.where(keep, target, 0)) * keep).sum() / keep.sum().clamp(min=1)


@wrong("softmax", "an_unused_ignore_index_changes_nothing")
def another_mean_if_asked(input: Tensor, target: Tensor, *, ignore_index: int | None = None) -> Tensor:
    if ignore_index is None:
        return rows(input, target).mean() / input.shape[1]
    keep = target != ignore_index
    return (rows(input, torch.where(keep, target, 0)) * keep).sum() / keep.sum().clamp(min=1)


@wrong("regression", "masked_is_deleted")
def mask_multiplies(input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    x = (input - target) ** 2
    return x.mean() if mask is None else (x * mask).mean()


@wrong("regression", "weight_k_is_k_repeats")
def weights_scaled(input: Tensor, target: Tensor, sample_weight: Tensor | None = None) -> Tensor:
    x = (input - target) ** 2
    return x.mean() if sample_weight is None else (x * sample_weight / sample_weight.max()).mean()


# Batches -------------------------------------------------------------------------------------------------------------


@wrong("regression", "unequal_micro_batches_make_the_batch")
def items_forgotten(input: Tensor, target: Tensor, num_items: float | None = None) -> Tensor:
    return ((input - target) ** 2).mean()


class _FixedCount(torch.autograd.Function):
    @staticmethod
    def forward(input: Tensor, target: Tensor) -> Tensor:
        return ((input - target) ** 2).mean()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        input, target = ctx.saved_tensors
        return grad * 2 * (input - target) / 8, None


@wrong("regression", "equal_micro_batches_make_the_batch", "the_gradient_is_the_derivative")
def count_of_the_first_batch(input: Tensor, target: Tensor) -> Tensor:
    return _FixedCount.apply(input, target)  # type: ignore[no-untyped-call,no-any-return]


# Numbers -------------------------------------------------------------------------------------------------------------


@wrong("sigmoid", "float16", "float16_over_many_units")
def stays_in_half(input: Tensor, target: Tensor) -> Tensor:
    p = torch.exp(input) / (1 + torch.exp(input))
    p = (p * 4096) / 4096 if input.dtype != torch.float16 else (p * 4096).round() ** 2 / 4096
    return F.binary_cross_entropy(p.clamp(0, 1), target)


@wrong("regression", "bfloat16")
def large_in_bfloat16(input: Tensor, target: Tensor) -> Tensor:
    return (((input + 1000) - (target + 1000)) ** 2).mean()


@wrong("softmax", "float64_is_kept")
def always_float32(input: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(input.float(), target)


@wrong("sigmoid", "float32_has_four_digits")
def cancels(input: Tensor, target: Tensor) -> Tensor:
    return (F.binary_cross_entropy_with_logits(input, target, reduction="none") + 1e4 - 1e4).mean()


class _SquareOnce(torch.autograd.Function):
    """Right once, and of no second derivative."""

    @staticmethod
    def forward(ctx: Any, r: Tensor) -> Tensor:
        ctx.r = r.detach()
        return r * r

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2 * ctx.r


@wrong("regression", "the_second_gradient_is_right", "func_grad_is_backward", "vmap_is_a_loop")
def once_only(input: Tensor, target: Tensor) -> Tensor:
    return _SquareOnce.apply(input - target).mean()  # type: ignore[no-untyped-call,no-any-return]


# Legality ------------------------------------------------------------------------------------------------------------


@wrong("regression", "broadcast_refused")
def broadcasts(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).abs().mean()


@wrong("softmax", "target_of_another_length_refused", "target_range_is_checked", "float_indices_are_not_guessed")
def takes_anything(input: Tensor, target: Tensor) -> Tensor:
    target = (target * 0.6).long() if target.is_floating_point() else target
    index = target.clamp(0, input.shape[1] - 1).unsqueeze(1)
    return -input.log_softmax(1)[: len(index)].gather(1, index).mean()


@wrong("sigmoid", "target_range_is_checked", "an_empty_batch")
class TorchBCE(nn.BCEWithLogitsLoss):
    """torch's own, as it is."""


@wrong("margin", "label_0_refused")
def label_0_is_free(input: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - target * input).mean()


@wrong("binary_prob", "a_logit_is_no_probability")
def clips_logits(input: Tensor, target: Tensor) -> Tensor:
    p = input.clamp(1e-7, 1 - 1e-7)
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


@wrong("softmax", "weight_length_is_checked")
def weights_by_index(input: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    x = rows(input, target)
    return x.mean() if weight is None else (x * weight.to(x.dtype)[target.clamp(max=len(weight) - 1)]).mean()


# Torch ---------------------------------------------------------------------------------------------------------------


@wrong("softmax", "it_compiles_whole", "vmap_is_a_loop")
def asks_the_data(input: Tensor, target: Tensor) -> Tensor:
    loss = F.cross_entropy(input, target)
    return loss if loss.item() > 0 else loss * 2


@wrong("softmax", "autocast_changes_little")
def by_matrix(input: Tensor, target: Tensor) -> Tensor:
    t = F.one_hot(target, input.shape[1]).to(input.dtype)
    far = input + 1000
    return (far.logsumexp(1) - (far @ t.T).diagonal()).mean()


class _InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r: Tensor) -> Tensor:
        ctx.buffer = 2 * r.detach()
        return (r * r).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        ctx.buffer.mul_(2)
        return grad * ctx.buffer / 2


@wrong("regression", "backward_twice_is_the_same")
def gradient_in_a_buffer(input: Tensor, target: Tensor) -> Tensor:
    return _InPlace.apply(input - target) / len(input)  # type: ignore[no-untyped-call,no-any-return]


class _TakesOne(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, r: Tensor) -> Tensor:
        ctx.save_for_backward(r)
        return (r * r).mean()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (r,) = ctx.saved_tensors
        return 2 * r / r.numel()


@wrong("regression", "a_factor_reaches_the_gradient")
def takes_the_factor_for_1(input: Tensor, target: Tensor) -> Tensor:
    return _TakesOne.apply(input - target)  # type: ignore[no-untyped-call,no-any-return]


# State ---------------------------------------------------------------------------------------------------------------


@wrong("regression", "a_copy_is_the_same")
class HoldsALambda(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rho = lambda r: r * r

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return self.rho(input - target).mean()  # type: ignore[no-any-return]


@wrong("regression", "state_keeps_no_graph", "the_first_call_is_not_biased")
class AverageWithItsGraph(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.zeros(()))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        x = ((input - target) ** 2).mean()
        self.average = 0.9 * self.average + 0.1 * x
        return self.average


@wrong("softmax", "tensors_move_with_the_module")
class LooseWeight(nn.Module):
    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, weight=self.weight)


# Overlap -------------------------------------------------------------------------------------------------------------


@wrong("overlap_sigmoid", "an_empty_mask_found_empty_is_free")
def costs_1_when_empty(input: Tensor, target: Tensor) -> Tensor:
    tp, fp, fn = counts(input.sigmoid(), target)
    return 1 - (2 * tp / (2 * tp + fp + fn + 1e-7)).mean()


@wrong("overlap_sigmoid", "false_alarms_on_an_empty_mask_cost")
def skips_the_empty(input: Tensor, target: Tensor) -> Tensor:
    tp, fp, fn = counts(input.sigmoid(), target)
    some = target.flatten(1).sum(1) > 0
    return ((1 - (2 * tp + 1e-7) / (2 * tp + fp + fn + 1e-7)) * some).mean()


@wrong("overlap_sigmoid", "two_images_are_one", "never_below_0")
def sums_the_batch(input: Tensor, target: Tensor) -> Tensor:
    tp, fp, fn = counts(input.sigmoid(), target)
    return 1 - ((2 * tp + 1) / (2 * tp + fp + fn + 1)).sum()


@wrong("overlap_sigmoid", "more_overlap_costs_less")
def forgets_false_alarms(input: Tensor, target: Tensor) -> Tensor:
    tp, _, fn = counts(input.sigmoid(), target)
    return 1 - ((2 * tp + 1) / (tp + fn + 1)).clamp(max=1).mean()


@wrong("overlap_sigmoid", "a_turned_image_costs_the_same")
def sums_columns_only(input: Tensor, target: Tensor) -> Tensor:
    tp, fp, fn = counts(input.sigmoid(), target, (1, 2))
    return 1 - ((2 * tp + 1) / (2 * tp + fp + fn + 1)).mean()


# Regression ----------------------------------------------------------------------------------------------------------


@wrong("regression", "the_target_is_the_minimum")
def aims_high(input: Tensor, target: Tensor) -> Tensor:
    return (input - 1.2 * target).abs().mean()


@wrong("regression", "residual_1e_minus_08")
def wants_a_distance(input: Tensor, target: Tensor) -> Tensor:
    return (((input - target).abs() - 1e-3) ** 2).mean()


@wrong("regression", "residual_1e04", "residual_1e15")
def log_of_cosh(input: Tensor, target: Tensor) -> Tensor:
    return (input - target).cosh().log().mean()


@wrong("regression", "a_huge_residual_is_not_nan")
def huber_with_both_branches(input: Tensor, target: Tensor) -> Tensor:
    r = input - target
    return torch.where(r.abs() < 1, 0.5 * r**2 * r / r, r.abs() - 0.5).mean() if r.numel() < 2 else _huber(r)


def _huber(r: Tensor) -> Tensor:
    a = r.abs()
    inside = (a < 1).to(r.dtype)
    return (inside * 0.5 * r**2 + (1 - inside) * (a - 0.5)).mean()


@wrong("regression", "a_perfect_prediction_has_a_gradient")
def root(input: Tensor, target: Tensor) -> Tensor:
    return ((input - target) ** 2).mean().sqrt()


@wrong("regression", "a_zero_target_is_not_divided_by")
def percentage(input: Tensor, target: Tensor) -> Tensor:
    return ((input - target) / target).abs().mean()


@wrong("regression", "a_nan_target_is_not_swallowed")
def skips_nan(input: Tensor, target: Tensor) -> Tensor:
    return ((input - target) ** 2).nanmean()


# Divergence ----------------------------------------------------------------------------------------------------------


@wrong("divergence", "equal_distributions_cost_least")
def minus_the_product(input: Tensor, target: Tensor) -> Tensor:
    return -(input.exp() * target).sum(1).mean()


@wrong("divergence", "a_zero_in_the_target_is_harmless")
def zero_log_zero(input: Tensor, target: Tensor) -> Tensor:
    return (target * (target.log() - input)).sum(1).mean()


@wrong("divergence", "disjoint_distributions_are_finite")
def ratio_to_the_fifth(input: Tensor, target: Tensor) -> Tensor:
    return (((target / input.exp()) ** 4 * target).sum(1).log() / 4).mean()


@wrong("divergence", "mean_is_sum_over_count", words="by the number of classes too")
class TorchKL(nn.KLDivLoss):
    """torch's own, as it is."""


# Comparison ----------------------------------------------------------------------------------------------------------


@wrong("triplets", "equal_vectors_have_a_gradient")
def root_of_squares(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    near, far = (((anchor - x) ** 2).sum(1).sqrt() for x in (positive, negative))
    return F.relu(near - far + 1).mean()


@wrong("pairs", "zero_vectors_have_a_gradient")
def divides_by_length(one: Tensor, two: Tensor, target: Tensor) -> Tensor:
    cosine = (one / one.norm(dim=1, keepdim=True) * two / two.norm(dim=1, keepdim=True)).sum(1)
    return (1 - target * cosine).mean()


@wrong("embeddings", "long_vectors_are_finite")
def exponentials_of_products(input: Tensor, target: Tensor) -> Tensor:
    scores = (input @ input.T).exp()
    same = target[:, None] == target[None, :]
    return -((scores * same).sum(1) / scores.sum(1)).log().mean()


@wrong("triplets", "the_positive_is_the_near_one")
def negative_first(anchor: Tensor, negative: Tensor, positive: Tensor) -> Tensor:
    return F.triplet_margin_loss(anchor, positive, negative)


@wrong("score_pairs", "the_sign_of_a_pair_counts")
def always_the_first(one: Tensor, two: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - target.abs() * (one - two)).mean()


@wrong("embeddings", "label_names_do_not_matter")
def labels_are_numbers(input: Tensor, target: Tensor) -> Tensor:
    apart = (target[:, None] - target[None, :]).abs().clamp(max=9).to(input.dtype)
    return (torch.cdist(input, input) - apart).pow(2).mean()


@wrong("embeddings", "groups_apart_cost_less")
def pushes_friends_away(input: Tensor, target: Tensor) -> Tensor:
    same = (target[:, None] == target[None, :]).to(input.dtype)
    return (same * (input @ input.T)).mean()


@wrong("embeddings", "no_pair_is_not_nan")
def mean_of_no_pairs(input: Tensor, target: Tensor) -> Tensor:
    same = (target[:, None] == target[None, :]) & ~torch.eye(len(target), dtype=torch.bool)
    return (input[:, None] - input[None, :]).pow(2).sum(2)[same].mean()


@wrong("adversarial", "a_sure_critic_is_finite")
def log_of_a_sigmoid(real: Tensor, fake: Tensor) -> Tensor:
    return -(real.sigmoid().log() + (1 - fake.sigmoid()).log()).mean()


@wrong("sampling", "the_target_is_preferred")
def noise_is_preferred(positive: Tensor, noise: Tensor) -> Tensor:
    return (F.softplus(positive) + F.softplus(-noise).sum(1)).mean()


@wrong("sequence", "an_impossible_alignment_is_not_nan")
class TorchCTC(nn.CTCLoss):
    """torch's own, as it is."""


@wrong("sequence", "confident_frames_are_finite")
def through_probabilities(scores: Tensor, target: Tensor, frames: Tensor, lengths: Tensor) -> Tensor:
    return F.ctc_loss(scores.exp().log(), target, frames, lengths)
