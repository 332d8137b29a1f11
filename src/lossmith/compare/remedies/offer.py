"""Every other loss that fits a problem, found by trying them all: what ``--losses all`` adds."""

import re
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lossmith import spec
from lossmith.compare.remedies.arms import Arm
from lossmith.compare.remedies.choice import even, try_loss
from lossmith.errors import LossmithError

if TYPE_CHECKING:
    from lossmith.compare.problems.problem import Problem

STEPS = 100  # of gradient descent on free outputs: enough for a loss that names targets, for ever too few for another


def every_other(problem: "Problem", known: Sequence[Arm]) -> list[Arm]:
    """Every registered loss that trains for this problem and is in no known arm, once under its first name."""
    counts, arms = even(problem.outputs), []
    seen = {arm.template.partition("(")[0] for arm in known}
    values = {fingerprint(text, problem) for text in {arm.spec(0, counts) for arm in known if arm.weighting == "none"}}
    for row in spec.catalogue():
        if row["name"] in seen:
            continue
        template = fitting(row["name"], problem.fitting)
        text = template.replace("{counts}", str(counts))
        if not fits(text, problem):
            continue
        value = fingerprint(text, problem)
        if value not in values:  # another name of the same loss
            values.add(value)
            title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", row["class"].removesuffix("Loss"))
            arms.append(Arm(row["name"], title, row["summary"].replace("`", ""), template))
    return arms


def fitting(name: str, known: dict[str, str]) -> str:
    """The spec of a loss with those of the known options that it has.

    >>> fitting("focal", {"link": "sigmoid", "per": "batch"}), fitting("mse", {"link": "sigmoid"})
    ('focal(link=sigmoid)', 'mse')
    """
    options = [f"{option}={value}" for option, value in known.items() if option in spec.accepts(name)]
    return f"{name}({', '.join(options)})" if options else name


def fits(text: str, problem: "Problem") -> bool:
    """Whether a loss can be trained, and whether free outputs that minimise it name the targets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try_loss(text, problem)
        except (LossmithError, RuntimeError, TypeError, ValueError):
            return False
        outputs, targets = problem.made_up(problem.outputs)
        return problem.solved(descended(text, outputs, targets), targets)


def descended(text: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Free outputs after some steps of Adam, whose steps do not depend on the size of a loss."""
    loss: Any = spec.create(text)
    free = outputs.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(loss(free, targets))
        optimizer.step()
    return free.detach()


def fingerprint(text: str, problem: "Problem") -> tuple[float, ...]:
    """The gradient on made-up rows, rounded: the same for two names of one loss."""
    outputs, targets = problem.made_up(problem.outputs)
    outputs = (3 * outputs).requires_grad_()
    loss: Any = spec.create(text)
    torch.autograd.backward(loss(outputs, targets))
    assert outputs.grad is not None
    return tuple(round(value, 6) for value in outputs.grad.flatten().tolist())
