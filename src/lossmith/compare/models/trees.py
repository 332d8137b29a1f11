"""Boosted trees, XGBoost's or LightGBM's, under any loss that has an objective.

Whatever the loss is, the trees start from the constant that is best for it, as the library's own objective does, and
grow round by round until the common validation score has not improved for ``PATIENCE`` rounds. Several labels are a
booster each, which grow together, so that one score stops them all.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossmith import boosting
from lossmith.boosting.libraries import for_rows
from lossmith.compare.models.fitted import Fitted, Floats, Prepared
from lossmith.errors import DomainError, InputError, LossmithError
from lossmith.extras import extra

ROUNDS = 300
PATIENCE = 30
LEARNING_RATE = 0.1
ROWS_OF_A_TREE = 0.8  # drawn anew for each: without it the tries of an arm that has no grid would be the same model
XGBOOST = {
    "eta": LEARNING_RATE,
    "max_depth": 6,
    "subsample": ROWS_OF_A_TREE,
    "seed_per_iteration": True,  # else the boosters of a process draw from one stream
    "nthread": 1,
    "verbosity": 0,
}
LIGHTGBM = {
    "learning_rate": LEARNING_RATE,
    "num_leaves": 31,
    "bagging_fraction": ROWS_OF_A_TREE,
    "bagging_freq": 1,
    "deterministic": True,
    "force_col_wise": True,
    "feature_pre_filter": False,  # else fewer rows than two leaves need are an error, and not a tree without splits
    "num_threads": 1,
    "verbose": -1,
}

Scores = NDArray[Any]


class Scoring(Protocol):
    """The common early-stopping score of the outputs of a part; larger is better."""

    def score(self, outputs: Tensor, part: str) -> float: ...


class Trained(Protocol):
    """What training compares with: see `lossmith.compare.runs.objective.Objective`."""

    name: str
    losses: list[Any]
    width: int
    target: Tensor
    row_weight: Tensor | None
    shift: Tensor | None


def fit(prepared: Prepared, training: Scoring, objective: Trained, seeds: tuple[int, int], library: str) -> Fitted:
    """Grow trees under the objective's losses, and keep the round with the best validation score.

    Two classes are the logits (0, score). The weights of the rows multiply their gradients and Hessians; they are
    scaled to a mean of 1, as a loss times a constant is the same loss. The second seed draws the rows of each tree.

    A constant that training adds to the logits moves the best start by as much the other way and changes no tree, so it
    is taken off the logits of trees that grow without it.

    Raises `DomainError` where a prediction is not finite, `MissingError` without the library.
    """
    clock = time.perf_counter()
    growing = [GROWING[library](prepared, *column, seeds[1] % 2**31) for column in columns(objective)]
    shift = None if objective.shift is None else objective.shift.double().numpy()
    binary = not objective.target.is_floating_point() and objective.width == 2
    best, best_round, sizes = -np.inf, 0, [0] * len(growing)
    curve: dict[str, list[float]] = {"loss": [], "validation": []}
    for turn in range(1, ROUNDS + 1):
        curve["loss"].append(float(np.mean([one.grow() for one in growing])))
        outputs = as_outputs([one.scores() for one in growing], binary, shift)
        if not bool(torch.isfinite(outputs).all()):
            raise DomainError(f"{objective.name}: the model's predictions are not finite in round {turn}.")
        curve["validation"].append(training.score(outputs, "validation"))
        if curve["validation"][-1] > best:
            best, best_round, sizes = curve["validation"][-1], turn, [one.size() for one in growing]
        if turn - best_round >= PATIENCE:
            break
    state = {
        "library": library,
        "binary": binary,
        "shift": None if shift is None else shift.tolist(),
        "start": [one.start.tolist() for one in growing],
        "boosters": [one.text(size) for one, size in zip(growing, sizes, strict=True)],
    }
    found = {part: predict(state, rows) for part, rows in prepared.inputs.items()}
    return Fitted(best, best_round, curve, found, time.perf_counter() - clock, state)


def predict(state: dict[str, Any], inputs: Tensor) -> Tensor:
    """The outputs of a fitted model, float32 [N, outputs], from the ``state`` that `fit` has kept."""
    kind = GROWING[state["library"]]
    pairs = zip(state["boosters"], state["start"], strict=True)
    scores = [kind.read(text, inputs.numpy(), np.asarray(start)) for text, start in pairs]
    return as_outputs(scores, state["binary"], None if state["shift"] is None else np.asarray(state["shift"]))


def check(loss: Any, library: str, problem: str, outputs: int) -> None:
    """One sentence where the loss cannot be boosted, before any run.

    ``problem`` is "regression", "multilabel" or the classes' "binary" or "multiclass".

    Raises `InputError`.
    """
    classes = outputs if problem == "multiclass" else 1
    target = np.array([0.5, 1.0, 2.0, 4.0]) if problem == "regression" else np.arange(4.0 * classes) % max(2, classes)
    try:
        made = OBJECTIVES[library](loss)
        start = made.start(target, classes=classes)
        made.derivatives(for_rows(np.asarray(start), len(target)), target)
    except LossmithError as error:
        raise InputError(f"{error}; leave it out, or take --model mlp.") from error


def columns(objective: Trained) -> list[tuple[Any, Scores, Floats | None, int]]:
    """For each booster the loss, the targets, the weights of the rows, and how many scores a row has."""
    target, weight = objective.target.numpy(), objective.row_weight
    weights = None if weight is None else weight.double().numpy()
    if target.dtype.kind != "f":
        scores = objective.width if objective.width > 2 else 1
        return [(loss, target, scaled(weights), scores) for loss in objective.losses]
    return [
        (loss, np.ascontiguousarray(target[:, place]), None if weights is None else scaled(weights[:, place]), 1)
        for loss in objective.losses
        for place in range(target.shape[1])
    ]


def scaled(weights: Floats | None) -> Floats | None:
    """Weights with a mean of 1."""
    return None if weights is None else weights * (len(weights) / weights.sum())


def as_outputs(scores: Sequence[Scores], binary: bool, shift: Floats | None) -> Tensor:
    """The scores of the boosters as a network would put them out: [N, classes], [N, labels] or [N, 1]."""
    joined = np.column_stack(scores).astype(np.float64)
    if binary:
        joined = np.column_stack([np.zeros(len(joined)), joined])
    return torch.from_numpy((joined if shift is None else joined - shift).astype(np.float32))


class Growing(ABC):
    """A booster that grows by one round at a time, and its scores on the validation rows."""

    start: Any
    objective: Any
    loss: float

    @abstractmethod
    def __init__(
        self, prepared: Prepared, loss: Any, target: Scores, weight: Floats | None, scores: int, seed: int
    ) -> None: ...

    @abstractmethod
    def grow(self) -> float:
        """One round more; the mean loss of the training rows before it."""

    def derivatives(self, scores: Scores, rows: Any) -> tuple[Any, Any]:
        """Gradient and Hessian of the training rows; their mean loss is kept."""
        self.loss = self.objective.mean_loss(scores, rows)[1]
        found: tuple[Any, Any] = self.objective(scores, rows)
        return found

    @abstractmethod
    def scores(self) -> Scores:
        """The raw scores of the validation rows."""

    @abstractmethod
    def size(self) -> int:
        """How many rounds it has."""

    @abstractmethod
    def text(self, size: int) -> str:
        """The first rounds as the library's own text."""

    @staticmethod
    @abstractmethod
    def read(text: str, inputs: Scores, start: Any) -> Scores:
        """The raw scores of rows by such a text."""


class XGBoost(Growing):
    """XGBoost by its native interface; the start is every row's base margin."""

    def __init__(
        self, prepared: Prepared, loss: Any, target: Scores, weight: Floats | None, scores: int, seed: int
    ) -> None:
        xgboost = extra("xgboost", "boosting")
        self.objective = boosting.xgboost(loss)
        self.start = np.asarray(self.objective.start(target, weight, classes=scores))
        inputs = [prepared.inputs[part].numpy() for part in ("train", "validation")]
        margins = [for_rows(self.start, len(rows)) for rows in inputs]
        self.train = xgboost.DMatrix(inputs[0], target, weight=weight, base_margin=margins[0], nthread=1)
        self.validation = xgboost.DMatrix(inputs[1], base_margin=margins[1], nthread=1)
        many = {"objective": "multi:softprob", "num_class": scores} if scores > 1 else {"objective": "reg:squarederror"}
        self.booster = xgboost.Booster(XGBOOST | many | {"seed": seed}, [self.train, self.validation])

    def grow(self) -> float:
        self.booster.update(self.train, self.size(), self.derivatives)
        return self.loss

    def scores(self) -> Scores:
        found: Scores = self.booster.predict(self.validation, output_margin=True)
        return found

    def size(self) -> int:
        return int(self.booster.num_boosted_rounds())

    def text(self, size: int) -> str:
        return bytes(self.booster[:size].save_raw("json")).decode()

    @staticmethod
    def read(text: str, inputs: Scores, start: Any) -> Scores:
        xgboost = extra("xgboost", "boosting")
        booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(text.encode()))
        rows = xgboost.DMatrix(inputs, base_margin=for_rows(start, len(inputs)), nthread=1)
        found: Scores = booster.predict(rows, output_margin=True)
        return found


class LightGBM(Growing):
    """LightGBM by its native interface, which does not keep the start."""

    def __init__(
        self, prepared: Prepared, loss: Any, target: Scores, weight: Floats | None, scores: int, seed: int
    ) -> None:
        lightgbm = extra("lightgbm", "boosting")
        self.objective = boosting.lightgbm(loss)
        self.start = np.asarray(self.objective.start(target, weight, classes=scores))
        inputs = [prepared.inputs[part].numpy() for part in ("train", "validation")]
        if not np.ptp(inputs[0], axis=0).any():  # LightGBM would print and fail a check of its own
            raise DomainError("lightgbm: every column is the same in all training rows, so there is no tree.")
        starts = [for_rows(self.start, len(rows)).reshape(-1, order="F") for rows in inputs]
        params = LIGHTGBM | {"objective": "none", "metric": "None", "num_class": scores, "seed": seed}
        train = lightgbm.Dataset(inputs[0], target, weight=weight, init_score=starts[0], params=params)
        self.booster = lightgbm.Booster(params, train)
        self.booster.add_valid(train.create_valid(inputs[1], init_score=starts[1], params=params), "validation")

    def grow(self) -> float:
        self.booster.update(fobj=self.derivatives)
        return self.loss

    def scores(self) -> Scores:
        found = []

        def called(scores: Scores, rows: Any) -> tuple[str, float, bool]:
            found.append(scores.copy())  # its own memory, which the next round overwrites
            return "scores", 0.0, True

        self.booster.eval_valid(called)  # the one public way to the scores that it keeps
        return found[0]

    def size(self) -> int:
        return int(self.booster.current_iteration())  # a round in which no row could be split leaves none

    def text(self, size: int) -> str:
        return str(self.booster.model_to_string(num_iteration=size))

    @staticmethod
    def read(text: str, inputs: Scores, start: Any) -> Scores:
        booster = extra("lightgbm", "boosting").Booster(model_str=text)
        found: Scores = booster.predict(inputs, raw_score=True, num_threads=1) + start
        return found


GROWING: dict[str, type[Growing]] = {"xgboost": XGBoost, "lightgbm": LightGBM}
OBJECTIVES = {"xgboost": boosting.xgboost, "lightgbm": boosting.lightgbm}
