"""Numbers: one per row, in the unit of the target."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lossmith.compare.problems.problem import Floats, Outputs, Problem
from lossmith.compare.remedies.arms import Arm
from lossmith.compare.remedies.kinds import kind_of_loss

if TYPE_CHECKING:
    from lossmith.compare.models.fitted import Prepared

LEVEL = 0.9
"""What an interval between the quantiles 5 % and 95 % should cover."""

MOST_POINTS = 200


class Regression(Problem):
    """A number for every row."""

    @property
    def outputs(self) -> int:
        """The prediction; an arm with an interval has two more."""
        return 1

    def counts(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """There are no classes."""
        return np.zeros(0, dtype=np.int64)

    def target(self, targets: NDArray[Any], scale: float) -> Tensor:
        """Multiples of the scale, in a column: the unit of Huber's delta is a spread of the training targets."""
        return torch.from_numpy((targets / scale).astype(np.float32)).unsqueeze(1)

    def made_up(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Predictions below, at and above positive targets."""
        targets = torch.linspace(0.5, 4.0, 12).unsqueeze(1)
        return (targets + torch.linspace(-0.4, 0.5, 12).unsqueeze(1)).expand(-1, outputs).clone(), targets

    def score(self, outputs: Tensor, targets: NDArray[Any], weights: Floats | None, scale: float) -> float:
        """Minus the mean absolute error, which no single far row rules."""
        return -float(np.average(np.abs(outputs[:, 0].double().numpy() * scale - targets), weights=weights))

    def measure(self, prepared: "Prepared", outputs: Outputs, arm: Arm) -> dict[str, Any]:
        """Errors on test; the correction of an interval comes from validation."""
        predicted = {part: values.double().numpy() * prepared.scale for part, values in outputs.items()}
        targets, weights = prepared.targets, dict(prepared.weights or {})
        y, test = targets["test"], predicted["test"]
        shown = np.linspace(0, len(y) - 1, min(len(y), MOST_POINTS)).astype(int)
        return {
            "rule": rule(predicted["validation"], targets["validation"], weights.get("validation")),
            "errors": errors(test[:, 0], y, weights.get("test"), median(targets["train"], weights.get("train"))),
            "interval": interval(predicted, targets, weights) if arm.also else None,
            "points": {"prediction": rounded(test[shown, 0]), "target": rounded(y[shown])},
        }

    def arms(self) -> Sequence[Arm]:
        """Losses of the residual, and of relative errors where the targets allow it."""
        from lossmith.compare.problems.defaults import regression_arms

        return regression_arms(self.training.above_zero)

    def wrong_kind(self, loss: Any) -> str:
        """A loss of numbers takes the residual."""
        found = kind_of_loss(loss, ("residual",), None)
        return f"{found}; numbers take residual losses: lossmith list --family residual" if found else ""

    def towards(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Squared error's."""
        return outputs - targets

    def solved(self, outputs: Tensor, targets: Tensor) -> bool:
        """Within a few percent of the targets."""
        return bool(((outputs - targets).abs() < 0.1 * targets.abs()).all())

    @property
    def fitting(self) -> dict[str, str]:
        """Residual losses need nothing."""
        return {}


def errors(prediction: Floats, y: Floats, weight: Floats | None, guess: float) -> dict[str, float | None]:
    """All measures of error; ``skill`` is 1 - MAE / (MAE of the training median), so 0 is no better than that guess.

    MAPE is None where a target is 0. Rows count as ``weight`` says.
    """
    off = np.abs(prediction - y)
    size = np.abs(prediction) + np.abs(y)
    mae, guessed = mean(off, weight), mean(np.abs(guess - y), weight)
    spread = mean((y - mean(y, weight)) ** 2, weight)
    return {
        "mae": mae,
        "rmse": float(np.sqrt(mean(off**2, weight))),
        "median_ae": median(off, weight),
        "mape": mean(off / np.abs(y), weight) if np.all(y) else None,
        "smape": mean(2 * off / np.where(size > 0, size, 1.0), weight),
        "r2": 1 - mean(off**2, weight) / spread if spread > 0 else None,
        "skill": 1 - mae / guessed if guessed > 0 else None,
    }


def rule(predicted: Floats, known: Floats, weight: Floats | None) -> dict[str, Any]:
    """What predicting needs beside the outputs: how far an interval is moved out, of an arm that has one."""
    if predicted.shape[1] == 1:
        return {"kind": "none"}
    return {"kind": "interval", "level": LEVEL, "reach": reach(predicted, known, weight)}


def interval(predicted: dict[str, Any], targets: dict[str, Any], weights: dict[str, Any]) -> dict[str, float]:
    """How often the interval between two quantile outputs holds the target, as it is and made conformal.

    The conformal one is widened (or narrowed) on both sides by what the validation rows need to be covered: Romano et
    al. (2019), arXiv:1905.03222, algorithm 1.
    """
    y, needed = targets["test"], reach(predicted["validation"], targets["validation"], weights.get("validation"))
    figures = {}
    for name, more in (("", 0.0), ("conformal_", needed)):
        low, high = ends(predicted["test"], more)
        figures[f"{name}coverage"] = mean((low <= y) & (y <= high), weights.get("test"))
        figures[f"{name}width"] = mean(high - low, weights.get("test"))
    return {"level": LEVEL, **figures}


def ends(predicted: Floats, more: float) -> tuple[Floats, Floats]:
    """The ends of the interval between outputs 1 and 2, each moved out by ``more``."""
    low, high = np.sort(predicted[:, 1:3], axis=1).T + np.array([[-more], [more]])
    return low, np.maximum(low, high)


def reach(predicted: Floats, known: Floats, weight: Floats | None) -> float:
    """How far the ends of validation rows move out for a share ``LEVEL`` of them, and one row more, to be held."""
    low, high = ends(predicted, 0.0)
    need = np.maximum(low - known, known - high)
    return quantile(need, min(1.0, LEVEL * (1 + 1 / len(known))), weight)


def mean(values: Any, weight: Floats | None) -> float:
    """The weighted mean."""
    return float(np.average(values, weights=weight))


def quantile(values: Floats, q: float, weight: Floats | None) -> float:
    """The smallest value that at least a share q of the rows do not exceed."""
    return float(np.quantile(values, q, method="inverted_cdf", weights=weight))


def median(values: Floats, weight: Floats | None) -> float:
    """The middle value; between two of them their mean.

    >>> median(np.array([1.0, 2.0, 4.0]), None), median(np.array([1.0, 2.0, 4.0]), np.array([1.0, 1.0, 2.0]))
    (2.0, 3.0)
    """
    return (quantile(values, 0.5, weight) - quantile(-values, 0.5, weight)) / 2


def rounded(values: Floats) -> list[float]:
    """Numbers with the digits that a figure shows."""
    return [float(f"{value:.5g}") for value in values]
