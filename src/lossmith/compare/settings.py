"""What a comparison was asked for, checked, and what a training run needs to know of it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.compare.data.splits import HELD_OUT
from lossmith.compare.remedies.arms import TRIES
from lossmith.compare.remedies.rules import METRICS
from lossmith.errors import InputError
from lossmith.text import quote, suggestion

MODELS: dict[str, tuple[int, ...]] = {"mlp": (64, 64), "linear": ()}
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.IGNORECASE)
MOST_REPEATS = 1000
RUN_TIMEOUT = 3600.0

EPOCHS = 60
PATIENCE = 8
BATCHES_PER_EPOCH = 6
BATCH_SIZES = (16, 1024)
LEARNING_RATE = 7e-3
WEIGHT_DECAY = 1e-2


@dataclass(frozen=True)
class Training:
    """All that a run depends on beside the rows, its arm and its repeat."""

    kinds: tuple[str, ...]
    classes: int
    positive: int | None
    seed: int
    metric: str
    hidden: tuple[int, ...]
    epochs: int = EPOCHS
    patience: int = PATIENCE
    learning_rate: float = LEARNING_RATE
    weight_decay: float = WEIGHT_DECAY

    def batch_size(self, rows: int) -> int:
        """A power of two that gives about ``BATCHES_PER_EPOCH`` batches, within bounds."""
        smallest, largest = BATCH_SIZES
        return min(largest, max(smallest, 1 << (max(1, rows // BATCHES_PER_EPOCH).bit_length() - 1)))


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison with every default filled in."""

    model: str
    metric: str
    repeats: int
    seed: int
    jobs: int
    budget: float | None
    timeout: float
    losses: list[str] | None

    def __post_init__(self) -> None:
        choose("model", self.model, tuple(MODELS))
        choose("metric", self.metric, tuple(METRICS))
        within("repeats", self.repeats, 1, MOST_REPEATS)
        within("jobs", self.jobs, 1, 1024)
        within("seed", self.seed, 0, 2**32 - 1)

    def describe(self) -> dict[str, Any]:
        """Every setting, the fixed ones of the protocol included."""
        protocol = {
            "tries": TRIES,
            "split": [1 - 2 * HELD_OUT, HELD_OUT, HELD_OUT],
            "hidden": list(MODELS[self.model]),
            "optimizer": "AdamW",
            "learning_rate": LEARNING_RATE,
            "weight_decay": WEIGHT_DECAY,
            "epochs": EPOCHS,
            "patience": PATIENCE,
            "early_stopping": "average precision on validation",
        }
        return {**asdict(self), **protocol}


def choose(what: str, given: str, known: Sequence[str]) -> None:
    """One sentence for a name that is not among the known ones."""
    if given not in known:
        hint = suggestion(str(given), known) or f"; choose one of {', '.join(known)}."
        raise InputError(f"unknown {what} {quote(given)}{hint}")


def within(what: str, given: int, lowest: int, highest: int) -> None:
    """One sentence for a whole number out of its range."""
    if not isinstance(given, int) or isinstance(given, bool) or not lowest <= given <= highest:
        raise InputError(f"{what} must be a whole number from {lowest} to {highest:,}, not {quote(given)}.")


def seconds(what: str, given: str | float | None) -> float | None:
    """A duration in seconds.

    >>> seconds("budget", "1h30m"), seconds("budget", 90), seconds("budget", None)
    (5400.0, 90.0, None)
    """
    if given is None:
        return None
    text = str(given).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text) if DURATION.fullmatch(text) else []
    try:
        value = sum(float(number) * SECONDS[unit] for number, unit in parts) if parts else float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise InputError(f'{what} must be a time such as "90s", "10m" or "1h30m", not {quote(given)}.')
    return value
