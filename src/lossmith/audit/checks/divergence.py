"""Divergence: distributions that are equal, disjoint, or hold a zero."""

import math

import torch

from lossmith.audit.batch import Batch
from lossmith.audit.case import Case, finite
from lossmith.audit.check import MistakeError, check

KIND = "divergence"


def of(case: Case, p: torch.Tensor, q: torch.Tensor) -> Batch:
    """Model probabilities p and target q, in the inputs that the loss takes (its sample shows which)."""
    sample = case.batch().input
    floats = sample.exp().sum(1)
    if bool(((floats - 1).abs() < 1e-3).all()):
        return Batch((p.log(),), q)
    if bool(((sample.sum(1) - 1).abs() < 1e-3).all()) and bool((sample >= 0).all()):
        return Batch((p,), q)
    return Batch((p.log() + 0.7,), q)  # logits


P = ((0.2, 0.3, 0.5), (0.6, 0.3, 0.1))


@check(
    KIND,
    expects="0 where the distributions are equal, more everywhere else",
    why="A divergence that is least elsewhere teaches another distribution than its target.",
    link="https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html",
)
def equal_distributions_cost_least(case: Case) -> None:
    p = torch.tensor(P)
    same = case.number(of(case, p, p))
    for other in (p.flip(1), p.roll(1, 1), (p + 0.1) / 1.3, p**2 / (p**2).sum(1, keepdim=True)):
        if case.number(of(case, other, p)) <= same + 1e-7:
            raise MistakeError(f"equal: {same:.5g}; different: {case.number(of(case, other, p)):.5g}")


@check(
    KIND,
    expects="a target probability of 0 contributes nothing: finite value and gradient",
    why="0 log 0 is 0, and NaN in floating point.",
    link="google-deepmind/optax#473",
)
def a_zero_in_the_target_is_harmless(case: Case) -> None:
    p, q = torch.tensor(P), torch.tensor([[0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
    batch = of(case, p, q)
    if not finite(case.value(batch)):
        raise MistakeError("the value is NaN or infinite")
    if case.differentiable and not finite(*case.slopes(batch)[1]):
        raise MistakeError("the gradient is NaN or infinite")


@check(
    KIND,
    expects="nearly disjoint distributions: a finite value and gradient",
    why="The logarithm of a ratio overflows, or a difference of logarithms cancels.",
    link="vllm-project/speculators#726",
)
def disjoint_distributions_are_finite(case: Case) -> None:
    tiny = 1e-12
    p, q = torch.tensor([[1 - 2 * tiny, tiny, tiny]]), torch.tensor([[tiny, 0.5, 0.5]])
    batch = of(case, p, q)
    value = case.value(batch)
    if not finite(value) or math.isnan(float(value.sum())):
        raise MistakeError("the value is NaN or infinite")
    if case.differentiable and not finite(*case.slopes(batch)[1]):
        raise MistakeError("the gradient is NaN or infinite")
