"""Your own model: any PyTorch module on any loaders, in place of a table and a built-in model.

What is predicted is read off one pass over each loader. The rows of every part are given, so repeats differ in initial
weights and order alone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lossmith.compare.call import costs_of
from lossmith.compare.data.loaders import KINDS, SAME_ROWS, LoaderTask, optimizer_of, read
from lossmith.compare.models.fitted import Prepared
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.remedies.arms import TRIES
from lossmith.compare.runs.engine import Stop
from lossmith.compare.runs.loaders import Own, execute_here
from lossmith.compare.runs.store import Store, folder_for
from lossmith.compare.session import Comparison, Session
from lossmith.compare.settings import (
    OWN,
    RUN_TIMEOUT,
    STOPPING,
    WEIGHT_DECAY,
    Settings,
    Training,
    choose,
    losses_of,
    seconds,
    within,
)
from lossmith.errors import InputError
from lossmith.text import as_clause, listing, quote

LONGEST = 100_000  # epochs


@dataclass(frozen=True)
class OwnSettings(Settings):
    """Settings with the training of the user's own model."""

    epochs: int = 20
    patience: int = 4
    optimizer: str = "AdamW"
    learning_rate: float = 1e-3
    weight_decay: float = WEIGHT_DECAY
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        within("epochs", self.epochs, 1, LONGEST)
        within("patience", self.patience, 1, LONGEST)

    def describe(self) -> dict[str, Any]:
        """Every setting."""
        return {**asdict(self), "tries": TRIES, "early_stopping": f"{STOPPING[self.kind]} on validation"}


def of_loaders(
    *,
    model: Any = None,
    train: Any = None,
    valid: Any = None,
    test: Any = None,
    losses: str | Sequence[str] | None = None,
    task: str = "auto",
    classes: Sequence[Any] | None = None,
    metric: str | None = None,
    cost: str | None = None,
    repeats: int = 8,
    epochs: int = 20,
    patience: int = 4,
    learning_rate: float = 1e-3,
    optimizer: Callable[[Any], torch.optim.Optimizer] | None = None,
    device: str | torch.device | None = None,
    budget: str | float | None = None,
    timeout: str | float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    fresh: bool = False,
    quiet: bool = False,
    **others: Any,
) -> Comparison:
    """A comparison of the user's own model on the user's own loaders."""
    began = time.monotonic()
    if others:
        raise InputError(f"{listing(others)} cannot be given with your own model, whose loaders bring the rows.")
    choose("task", task, ("auto", *KINDS))
    within("seed", seed, 0, 2**32 - 1)
    own = brought(model, {"train": train, "validation": valid, "test": test}, optimizer, learning_rate, device)
    found, prepared = read(own, seed, task, classes)
    made = optimizer_of(own, own.model(seed))
    group = made.param_groups[0]
    costs = costs_of(cost, found)
    settings = OwnSettings(
        kind=found.goal.kind,
        inputs=found.inputs,
        model=OWN,
        metric=metric or ("cost" if costs else metrics_of(found.goal.kind)[0]),
        repeats=repeats,
        seed=seed,
        jobs=1,
        budget=seconds("budget", budget),
        timeout=seconds("timeout", timeout) or RUN_TIMEOUT,
        losses=losses_of(losses),
        costs=costs,
        epochs=epochs,
        patience=patience,
        optimizer=type(made).__name__,
        learning_rate=float(group["lr"]),
        weight_decay=float(group.get("weight_decay", 0.0)),
        device=str(own.device),
    )
    training = training_of(settings, found, prepared)
    store = Store(folder_for(found.source, found.target) if out is None else out)
    stop = Stop.after(began, settings.budget)
    executor = partial(execute_here, own, prepared, training)
    return Session(settings, found, training, found.batch, SAME_ROWS, store, stop, quiet, executor).hold(fresh)


def training_of(settings: OwnSettings, task: LoaderTask, prepared: Prepared) -> Training:
    """What the runs need to know."""
    numbers = task.goal.kind == "regression"
    return Training(
        problem=task.goal.kind,
        model=OWN,
        kinds=(),
        texts=0,
        classes=len(task.classes),
        positive=task.positive,
        seed=settings.seed,
        metric=settings.metric,
        hidden=(),
        epochs=settings.epochs,
        patience=settings.patience,
        learning_rate=settings.learning_rate,
        batch_sizes=(task.batch, task.batch),
        weight_decay=settings.weight_decay,
        costs=tuple((settings.costs or {}).values()),
        above_zero=numbers and all(bool((targets > 0).all()) for targets in prepared.targets.values()),
    )


def brought(model: Any, loaders: dict[str, Any], optimizer: Any, rate: float, device: Any) -> Own:
    """What the user has brought, as far as it can be checked before it is used."""
    if isinstance(model, nn.Module):
        name = type(model).__name__
        raise InputError(f"model is one {name}, but every run needs a fresh one; write model=lambda: {name}(...).")
    if not callable(model):
        raise InputError(f"model must be a function that returns a new torch module, not {type(model).__name__}.")
    for part, loader in loaders.items():
        name = "valid" if part == "validation" else part
        if not isinstance(loader, Iterable):
            raise InputError(f"{name} must be a loader of (inputs, targets) batches, not {type(loader).__name__}.")
        if isinstance(loader, Iterator):
            raise InputError(f"{name} can be read only once; give a DataLoader or a list of batches, which start anew.")
    if not isinstance(rate, int | float) or not 0 < rate < float("inf"):
        raise InputError(f"learning_rate must be a number above 0, not {quote(rate)}.")
    if optimizer is not None and not callable(optimizer):
        raise InputError("optimizer must be a function of parameters, such as lambda p: torch.optim.SGD(p, lr=0.1).")
    make = optimizer or partial(torch.optim.AdamW, lr=rate, weight_decay=WEIGHT_DECAY)
    return Own(model, loaders, make, device_of(device))


def device_of(device: Any) -> torch.device:
    """The device that is asked for, or the best one that there is."""
    try:
        found = torch.device(device if device is not None else "cuda" if torch.cuda.is_available() else "cpu")
        torch.empty(1, device=found)
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = as_clause(str(error).splitlines()[0])
        raise InputError(f"device {quote(device)} cannot be used: {reason}.") from error
    return found
