"""Every loss that fits a table with classes, found by trying them all: what ``--losses all`` compares."""

import re
import warnings
from typing import Any

import torch

from lossmith import spec
from lossmith.compare.remedies.arms import Arm, default_arms, even, made_up, try_loss
from lossmith.errors import LossmithError

STEPS = 100  # of gradient descent on free logits: enough for a loss that names classes, for ever too few for another
FITTING = {"link": "softmax", "per": "batch", "counts": "{counts}"}  # the options with which a loss takes a table


def every_arm(classes: int) -> list[Arm]:
    """The default arms, then every other registered loss that trains a classifier, once under its first name."""
    arms = default_arms()
    seen = {arm.template.partition("(")[0] for arm in arms}
    values = {fingerprint(arm.spec(0, even(classes)), classes) for arm in arms if arm.weighting == "none"}
    for row in spec.catalogue():
        if row["name"] in seen:
            continue
        template = fitting(row["name"])
        text = template.replace("{counts}", str(even(classes)))
        if not fits(text, classes):
            continue
        value = fingerprint(text, classes)
        if value not in values:  # another name of the same loss
            values.add(value)
            title = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", row["class"].removesuffix("Loss"))
            arms.append(Arm(row["name"], title, row["summary"].replace("`", ""), template))
    return arms


def fitting(name: str) -> str:
    """The spec of a loss for logits over classes, in batches of rows.

    >>> fitting("focal"), fitting("bce_with_logits")
    ('focal(link=softmax)', 'bce_with_logits(link=softmax)')
    """
    options = [f"{option}={value}" for option, value in FITTING.items() if option in spec.accepts(name)]
    return f"{name}({', '.join(options)})" if options else name


def fits(text: str, classes: int) -> bool:
    """Whether a loss can be trained, and whether free logits that minimise it name the classes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            try_loss(text, classes)
        except (LossmithError, RuntimeError, TypeError, ValueError):
            return False
        logits, labels = made_up(classes)
        return bool((descended(text, logits, labels).argmax(1) == labels).all())


def descended(text: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Free logits after some steps of Adam, whose steps do not depend on the size of a loss."""
    loss: Any = spec.create(text)
    free = logits.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(loss(free, labels))
        optimizer.step()
    return free.detach()


def fingerprint(text: str, classes: int) -> tuple[float, ...]:
    """The gradient on made-up rows, rounded: the same for two names of one loss."""
    logits, labels = made_up(classes)
    logits = (3 * logits).requires_grad_()
    loss: Any = spec.create(text)
    torch.autograd.backward(loss(logits, labels))
    assert logits.grad is not None
    return tuple(round(value, 6) for value in logits.grad.flatten().tolist())
