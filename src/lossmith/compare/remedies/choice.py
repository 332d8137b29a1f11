"""Which arms are compared, and that each of them can be trained at all: seen before any run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lossmith import spec
from lossmith.compare.remedies.arms import TRIES, Arm
from lossmith.compare.remedies.resampling import RESAMPLINGS
from lossmith.compare.settings import OWN, TREES
from lossmith.errors import InputError, LossmithError, ShapeError
from lossmith.extras import installed
from lossmith.text import quote

if TYPE_CHECKING:
    from lossmith.compare.problems.problem import Problem
    from lossmith.compare.settings import Training

ALL = "all"


def choose_arms(losses: Sequence[str] | None, problem: "Problem") -> list[Arm]:
    """The default arms, or the baseline and one arm for each given loss; ``all`` is every loss that fits.

    The bare name of a known arm is that arm, grid included; anything else is a spec, trained as it stands. Default
    arms that the model cannot take, or whose package is not installed, are left out.
    """
    defaults = list(problem.arms())
    if not losses:
        return [arm for arm in defaults if not hindrance(arm, problem.training)]
    known = {arm.name: arm for arm in (*defaults, *problem.further_arms())}
    chosen = {defaults[0].name: defaults[0]}
    for text in (str(loss).strip() for loss in losses):
        if text == ALL:
            from lossmith.compare.remedies.offer import every_other

            every = [*known.values(), *every_other(problem, list(known.values()))]
            chosen |= {arm.name: arm for arm in every if not hindrance(arm, problem.training)}
        else:
            chosen.setdefault(text, known.get(text) or own_arm(text))
    return list(chosen.values())


def own_arm(text: str) -> Arm:
    """An arm around a user's spec."""
    if not text:
        raise InputError('a loss is an empty text; give a name or a spec such as "focal(gamma=2)".')
    return Arm(text, text, "A loss given by the user.", text)


def hindrance(arm: Arm, training: "Training") -> str:
    """Why an arm cannot be trained on this model or these columns, if so."""
    trees = training.model in TREES
    if training.model == OWN and arm.resampling != "none":
        return "it changes training rows, which are your loader's affair; give it a sampler"
    if training.model == OWN and arm.also:
        return "its interval needs several outputs, and your model has one"
    kind = "none" if arm.resampling == "none" else RESAMPLINGS[arm.resampling].kind
    if trees and arm.also:
        return "its interval needs a network with several outputs; take --model mlp"
    if trees and kind in ("batches", "ensemble"):
        return "it changes batches, which trees do not have; take --model mlp"
    if kind == "made-up rows" and not training.kinds:
        return "it makes rows up between numbers and categories, and there are none"
    if kind == "made-up rows" and training.texts:
        return "it makes rows up between numbers and categories, and there are texts beside them"
    if arm.resampling == "adasyn" and "category" in training.kinds:
        return "it makes rows up between numbers, and there are categories; take smote"
    if kind in ("rows", "made-up rows", "ensemble") and not installed("imblearn"):
        return 'it needs imbalanced-learn: pip install "lossmith[resampling]"'
    if trees:
        from lossmith.compare.models import trees as boosted

        try:
            boosted.check(spec.create(arm.spec(0)), training.model, training.problem, training.classes)
        except LossmithError as error:
            return str(error)
    return ""


def check_arms(arms: Sequence[Arm], problem: "Problem") -> None:
    """Build every loss once and train it on a few made-up rows, so that no run starts that cannot work."""
    for arm in arms:
        for attempt in range(TRIES):
            text = arm.spec(attempt, even(problem.outputs))
            try:
                try_loss(text, problem)
            except LossmithError as error:
                raise InputError(f"loss {text!r}: {error}") from error
            except Exception as error:  # a user's own loss may raise anything
                reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
                raise InputError(f"loss {text!r} cannot be trained on this table: {reason}") from error
        if reason := hindrance(arm, problem.training):
            raise InputError(f"arm {quote(arm.name)}: {reason}")


def even(classes: int) -> list[int]:
    """Made-up training rows of every class."""
    return [10] * classes


def try_loss(text: str, problem: "Problem") -> None:
    """One loss and its gradient on made-up outputs."""
    outputs, targets = problem.made_up(problem.outputs)
    outputs.requires_grad_()
    loss = spec.create(text)
    if wrong := problem.wrong_kind(loss):
        raise InputError(wrong)
    try:
        value = loss(outputs, targets, sample_weight=torch.ones(targets.shape))
    except ShapeError as error:
        raise InputError(str(error)) from error
    if value.dim() != 0:
        raise InputError(f"it must give one number for a batch, not a tensor of shape {tuple(value.shape)}.")
    torch.autograd.backward(value)
    if outputs.grad is None:
        raise InputError("it has no gradient, so nothing can be trained with it.")
    if not bool(outputs.grad.any()):
        raise InputError("its gradient is zero everywhere, so nothing can be trained with it.")
    if float((outputs.grad * problem.towards(outputs.detach(), targets)).sum()) < 0:
        raise InputError("minimising it makes the usual loss larger, so it trains the model to be wrong.")
