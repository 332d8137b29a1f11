"""The losses that run on other arrays than torch's, with data for them and what torch makes of these."""

import torch
from torch import Tensor

import lossmith  # noqa: F401  (fills the registry)
from tests.laws.cases import CASES, Case, leaves, packed

PORTABLE = [case for case in CASES if case.cls.portable and case.label == case.cls.name]
FIRST = {case.cls.family: case.cls for case in reversed(PORTABLE)}
VARIANTS = [case for case in CASES if case.cls is FIRST.get(case.cls.family) and case not in PORTABLE]


def of_torch(case: Case, **call: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Value and gradients of the mean, in float64."""
    input, target = case.data()
    xs = tuple(x.clone().requires_grad_() for x in leaves(input))
    value = case.loss()(packed(xs), target, **call)
    return value.detach(), torch.autograd.grad(value, xs) if case.cls.differentiable else ()
