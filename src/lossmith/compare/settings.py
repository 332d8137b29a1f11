"""What a comparison was asked for, checked, and what a training run needs to know of it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lossmith.compare.data.splits import HELD_OUT
from lossmith.compare.problems.asked import metrics_of
from lossmith.compare.remedies.arms import TRIES
from lossmith.errors import InputError
from lossmith.text import quote, suggestion


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, the same for every arm. Trees have constants of their own (`models.trees`)."""

    hidden: tuple[int, ...] = ()
    epochs: int = 60
    patience: int = 8
    learning_rate: float = 7e-3
    batch_sizes: tuple[int, int] = (16, 1024)


BATCHES_PER_EPOCH = 6
WEIGHT_DECAY = 1e-2
MODELS: dict[str, Recipe] = {
    "mlp": Recipe(hidden=(64, 64)),
    "linear": Recipe(),
    "cnn": Recipe(epochs=20, patience=4, learning_rate=3e-3, batch_sizes=(32, 64)),
    "unet": Recipe(epochs=30, patience=6, learning_rate=3e-3, batch_sizes=(4, 8)),
    "xgboost": Recipe(),
    "lightgbm": Recipe(),
}
TREES = ("xgboost", "lightgbm")
OWN = "own"  # the user's module, on the user's loaders (`own`)
OF_TABLES = ("mlp", "linear", *TREES)
DEFAULT_MODELS = {"images": "cnn", "masks": "unet"}  # of tables: mlp
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+", re.IGNORECASE)
MOST_REPEATS = 1000
RUN_TIMEOUT = 3600.0


@dataclass(frozen=True)
class Training:
    """All that a run depends on beside the rows, its arm and its repeat.

    ``windows`` is the number of windows of a split by time, which alone depends on the repeats; else ``MOST_REPEATS``.
    """

    problem: str
    model: str
    kinds: tuple[str, ...]
    texts: int
    classes: int
    positive: int | None
    seed: int
    metric: str
    hidden: tuple[int, ...]
    epochs: int
    patience: int
    learning_rate: float
    batch_sizes: tuple[int, int]
    weight_decay: float = WEIGHT_DECAY
    windows: int = MOST_REPEATS
    costs: tuple[float, ...] = ()
    above_zero: bool = False
    slices: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def batch_size(self, rows: int) -> int:
        """A power of two that gives about ``BATCHES_PER_EPOCH`` batches, within bounds."""
        smallest, largest = self.batch_sizes
        return min(largest, max(smallest, 1 << (max(1, rows // BATCHES_PER_EPOCH).bit_length() - 1)))


@dataclass(frozen=True)
class Settings:
    """The settings of a comparison with every default filled in; ``kind`` and ``inputs`` are the task's."""

    kind: str
    inputs: str
    model: str
    metric: str
    repeats: int
    seed: int
    jobs: int
    budget: float | None
    timeout: float
    losses: list[str] | None
    costs: dict[str, float] | None = None

    def __post_init__(self) -> None:
        choose("model", self.model, models_of(self.inputs))
        known = metrics_of(self.kind)
        choose("metric", self.metric, ("cost", *known) if self.costs else known)
        within("repeats", self.repeats, 1, MOST_REPEATS)
        within("jobs", self.jobs, 1, 1024)
        within("seed", self.seed, 0, 2**32 - 1)

    def describe(self) -> dict[str, Any]:
        """Every setting, the fixed ones of the protocol included."""
        recipe = MODELS[self.model]
        protocol: dict[str, Any] = {"tries": TRIES, "split": [1 - 2 * HELD_OUT, HELD_OUT, HELD_OUT]}
        if self.model not in TREES:
            protocol |= {
                "hidden": list(recipe.hidden),
                "optimizer": "AdamW",
                "learning_rate": recipe.learning_rate,
                "weight_decay": WEIGHT_DECAY,
                "epochs": recipe.epochs,
                "patience": recipe.patience,
            }
        return {**asdict(self), **protocol, "early_stopping": f"{STOPPING[self.kind]} on validation"}


STOPPING = {
    "binary": "average precision",
    "multiclass": "average precision",
    "multilabel": "average precision",
    "segmentation": "mean F1 of the classes",
    "regression": "mean absolute error",
}


def losses_of(given: str | Sequence[str] | None) -> list[str] | None:
    """The specifications that are asked for, one or several; None where nothing is."""
    if not given:
        return None
    return [given] if isinstance(given, str) else [str(loss) for loss in given]


def models_of(inputs: str) -> tuple[str, ...]:
    """The models that an input may be compared on; images have one each."""
    return {"images": ("cnn",), "masks": ("unet",), "loaders": (OWN,)}.get(inputs, OF_TABLES)


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
