"""Labels: any number of them for every row, each there or not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lossmith
from lossmith.compare.problems.problem import Floats, Outputs, Problem
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.arms import Arm
from lossmith.compare.remedies.kinds import kind_of_loss
from lossmith.metrics import encoded

if TYPE_CHECKING:
    from lossmith.compare.models.fitted import Prepared

Labels = NDArray[np.int8]


class Multilabel(Problem):
    """Several labels for every row, each a task of two classes of its own."""

    @property
    def outputs(self) -> int:
        """A logit for each label."""
        return self.training.classes

    def counts(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Rows that have each label."""
        counts: NDArray[np.int64] = targets.sum(axis=0, dtype=np.int64)
        return counts

    def target(self, targets: NDArray[Any], scale: float) -> Tensor:
        """Zeros and ones."""
        return torch.from_numpy(targets.astype(np.float32))

    def made_up(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Rows with every second label."""
        logits = torch.linspace(-1.0, 1.0, 8 * outputs).reshape(8, outputs)
        return logits, ((torch.arange(8).unsqueeze(1) + torch.arange(outputs)) % 2).float()

    def score(self, outputs: Tensor, targets: NDArray[Any], weights: Floats | None, scale: float) -> float:
        """Average precision, the mean over the labels."""
        scores = outputs.double().numpy()
        each = [encoded.average_precision(two(scores[:, k]), targets[:, k], 2, 1, weights) for k in range(self.outputs)]
        return float(np.mean(each))

    def weight(self, prepared: "Prepared", arm: Arm, attempt: int) -> Tensor | None:
        """Of every label its absence and its presence [labels, 2], from the counts in training."""
        rows = len(prepared.targets["train"])
        pairs = [[rows - int(there), int(there)] for there in prepared.counts]
        if arm.weighting == "balanced":
            return torch.stack([lossmith.class_weight("balanced", pair) for pair in pairs]).float()
        if arm.weighting == "effective number":
            beta = arm.grid[attempt]["beta"]
            return torch.stack([lossmith.effective_number(pair, beta=beta) for pair in pairs]).float()
        return None

    def arms(self) -> Sequence[Arm]:
        """Losses of single labels, and their weights."""
        from lossmith.compare.problems.defaults import multilabel_arms

        return multilabel_arms()

    def wrong_kind(self, loss: Any) -> str:
        """A loss of labels asks about each by itself."""
        found = kind_of_loss(loss, ("likelihood",), "sigmoid")
        return f"{found}; labels take likelihood losses with link=sigmoid" if found else ""

    def towards(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Binary cross-entropy's."""
        return torch.sigmoid(outputs) - targets

    def solved(self, outputs: Tensor, targets: Tensor) -> bool:
        """Every logit is on the right side of 0."""
        return bool(((outputs > 0) == (targets > 0)).all())

    @property
    def fitting(self) -> dict[str, str]:
        """Logits of labels."""
        return {"link": "sigmoid"}

    def measure(self, prepared: "Prepared", outputs: Outputs, arm: Arm) -> dict[str, Any]:
        """As of classes, every label by itself; its threshold is tuned on validation."""
        logits = {part: outputs[part].double() for part in ("validation", "test")}
        weights: dict[str, Any] = dict(prepared.weights or {})
        known, y = prepared.targets["validation"], prepared.targets["test"]
        metric = presence_f1 if self.training.metric == "macro_f1" else rules.METRICS[self.training.metric]
        offsets = [
            rules.tune(
                pair(logits["validation"][:, k]), known[:, k].astype(np.int64), metric, weights.get("validation")
            )[1]
            for k in range(self.outputs)
        ]
        test = logits["test"].numpy()
        decided = {"default": test > 0, "tuned": test + np.array(offsets) > 0}
        probability = torch.sigmoid(logits["test"]).numpy()
        weight = weights.get("test")
        return {
            "rule": {"kind": "thresholds", "values": (1 / (1 + np.exp(np.array(offsets)))).tolist()},
            "ranking": ranking(probability, y, weight),
            "decision": {name: decision(chosen, y, weight) for name, chosen in decided.items()},
            "calibration": calibration(probability, y, weight),
        }


def presence_f1(hits: Floats, predicted: Floats, true: Floats) -> Floats:
    """F1 of a label's presence, whose mean over the labels is the macro-F1."""
    scores: Floats = 2 * hits[..., 1] / np.maximum(predicted[..., 1] + true[..., 1], 1e-300)
    return scores


def pair(logits: Tensor) -> Floats:
    """Log-probabilities of absence and presence of one label, [N, 2]."""
    both = torch.stack([-logits, logits], dim=1)
    return torch.nn.functional.logsigmoid(both).numpy()


def ranking(probability: Floats, y: Labels, weight: Floats | None) -> dict[str, Any]:
    """The mean over the labels that are both there and absent in ``y``."""
    found = [encoded.ranking(two(probability[:, k]), y[:, k], 2, 1, weight) for k in range(y.shape[1])]
    per_label = {name: [one[name] for one in found] for name in ("average_precision", "roc_auc")}
    return {
        **{name: known_mean(values) for name, values in per_label.items()},
        **{f"{name}_per_class": values for name, values in per_label.items()},
    }


def decision(decided: "NDArray[np.bool_]", y: Labels, weight: Floats | None) -> dict[str, Any]:
    """Figures of every label's presence and their means; ``accuracy`` is the share of right cells."""
    found = [encoded.decision(decided[:, k].astype(int), y[:, k].astype(int), 2, weight) for k in range(y.shape[1])]
    presence = {name: [one[name][1] for one in found] for name in ("f1_per_class", "recall", "precision")}
    means = {name: known_mean([one[name] for one in found]) for name in ("balanced_accuracy", "mcc", "accuracy")}
    return {"macro_f1": known_mean(presence["f1_per_class"]), **means, **presence}


def calibration(probability: Floats, y: Labels, weight: Floats | None) -> dict[str, Any]:
    """Of all cells together: every label of every row is one statement."""
    cells = None if weight is None else np.repeat(weight, y.shape[1])
    return encoded.calibration(two(probability.ravel()), y.ravel().astype(int), 2, cells)


def two(probability: Floats) -> Floats:
    """Columns of absence and presence."""
    return np.column_stack([1 - probability, probability])


def known_mean(values: list[float | None]) -> float | None:
    """The mean of what is defined."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
