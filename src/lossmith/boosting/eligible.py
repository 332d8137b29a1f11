"""Which losses a booster can be given, by what they are and not by name."""

import copy
from functools import lru_cache

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.loss import Loss
from lossmith.flow.sum import Composition, WeightedSum
from lossmith.losses.likelihood import LikelihoodLoss, PartitionLoss
from lossmith.losses.link import LINKS
from lossmith.losses.margin import MarginLoss
from lossmith.losses.residual import RelativeLoss, ResidualLoss
from lossmith.spec import create

SCORES = {"prob": "softmax", "log_prob": "softmax", "binary_prob": "sigmoid"}  # link: that of raw scores


def terms(loss: Loss | WeightedSum) -> list[tuple[float, Loss]]:
    """A loss as a sum of losses that have a gradient and a Hessian row by row.

    Raises `ParameterError` for any that has not, with the reason.
    """
    if isinstance(loss, Composition):
        return terms(loss.sum)
    if not isinstance(loss, Loss | WeightedSum):
        raise ParameterError(f"boosting: a loss of lossmith is expected, such as 'focal(gamma=2)', not {loss!r}")
    parts = loss.terms if isinstance(loss, WeightedSum) else [(1.0, loss)]
    for _, part in parts:
        reason = _ineligible(part)
        if reason:
            raise ParameterError(f"{type(part).__name__}: {reason}")
    return [(factor, _quiet(part)) for factor, part in parts]


def of_residuals(parts: list[tuple[float, Loss]]) -> bool:
    """Whether the loss is measured in the units of the target, which are anybody's choice."""
    return all(isinstance(loss, ResidualLoss | RelativeLoss) for _, loss in parts)


def centred(loss: Loss) -> bool:
    """Whether a prediction equal to the target has gradient 0: then the residual says how far the minimum is."""
    return isinstance(loss, ResidualLoss) or (isinstance(loss, RelativeLoss) and _centred(str(loss)))


@lru_cache(maxsize=256)
def _centred(spec: str) -> bool:
    """Asked of a few targets, and once."""
    loss = create(spec)
    assert isinstance(loss, Loss)
    _, target = loss.sample(torch.Generator().manual_seed(0), 16)
    x = target.clone().requires_grad_()
    with torch.enable_grad():
        value, _ = loss.values(x, target)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return bool((gradient.abs() < 1e-6).all())


def one_label(loss: Loss) -> LikelihoodLoss | None:
    """The loss over two classes as one of a single label, of which the score is the log-odds; None if it has none."""
    if not isinstance(loss, LikelihoodLoss) or loss.costs is not None:
        return None
    try:
        link = loss.parameters_["link"].read("sigmoid")
    except ValueError:
        return None
    twin = copy.copy(loss)
    twin.link = link
    return twin


def of_two(target: Tensor) -> Tensor:
    """Labels 0 and 1 as indices of two classes, and shares between them as class probabilities."""
    if target.is_floating_point() and target.dim() == 1:
        whole = bool((target == target.round()).all())
        return target.to(torch.int64) if whole else torch.stack([1 - target, target], 1)
    return target


def _ineligible(loss: Loss) -> str:
    """Why a booster cannot be given this loss; nothing if it can."""
    if "none" not in loss.reductions:
        return "its value is not a sum over rows, so it has no Hessian row by row; boost mse, of which it is the root"
    families = (ResidualLoss, RelativeLoss, MarginLoss, LikelihoodLoss, PartitionLoss)
    if not isinstance(loss, families) or loss.scope != "unit":
        return (
            "a booster needs a loss that is a sum over rows, each of its own scores: a residual, margin or likelihood "
            f"loss; this one is of the {loss.family} family" + (", and of sums" if loss.scope != "unit" else "")
        )
    if not loss.differentiable:
        return "it has no gradient to boost along; take one that stands in for it, such as logistic or hinge"
    if not isinstance(loss.sample(torch.Generator(), 2)[0], Tensor):
        return "it takes more than one input per row; a booster has a prediction per row, or a score per class"
    link = getattr(loss, "link", "softmax")
    if link in SCORES:
        return f'link="{link}" wants probabilities, and a booster puts out raw scores; say link="{SCORES[link]}"'
    return ""


def _quiet(loss: Loss) -> Loss:
    """The loss without the warning of scores that look like probabilities: after a tree or two, these often do."""
    loss = copy.copy(loss)
    if getattr(loss, "link", "") in LINKS:
        vars(loss)["_warn_of_probabilities"] = False
    return loss
