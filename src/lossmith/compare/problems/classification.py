"""Classes: one per row, or one per pixel of an image."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import lossmith
from lossmith.compare.problems.curves import curves
from lossmith.compare.problems.problem import Floats, Outputs, Problem
from lossmith.compare.remedies import calibrators, rules
from lossmith.compare.remedies.arms import Arm, default_arms, known_arms
from lossmith.compare.remedies.kinds import kind_of_loss
from lossmith.metrics import encoded

if TYPE_CHECKING:
    from lossmith.compare.models.fitted import Prepared

Labels = NDArray[np.int64]
MOST_PIXELS = 100_000  # pixels of a part that ranking, calibration and the tuning of a rule look at


class Classification(Problem):
    """A class for every row, out of two or more."""

    @property
    def outputs(self) -> int:
        """A logit for each class."""
        return self.training.classes

    def counts(self, targets: NDArray[Any]) -> NDArray[np.int64]:
        """Rows of every class."""
        return np.bincount(targets.ravel(), minlength=self.training.classes)

    def target(self, targets: NDArray[Any], scale: float) -> Tensor:
        """Class numbers."""
        return torch.from_numpy(targets)

    def made_up(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Four rows of each class with all kinds of logits."""
        logits = torch.linspace(-1.0, 1.0, 4 * outputs * outputs).reshape(-1, outputs)
        return logits, torch.arange(len(logits)) % outputs

    def score(self, outputs: Tensor, targets: NDArray[Any], weights: Floats | None, scale: float) -> float:
        """Average precision of the positive class, or its mean over all classes against the rest."""
        probability = torch.softmax(outputs.double(), dim=1).numpy()
        classes, positive = self.training.classes, self.training.positive
        return encoded.average_precision(probability, targets, classes, positive, weights)

    def weight(self, prepared: "Prepared", arm: Arm, attempt: int) -> Tensor | None:
        """From the counts in training: balanced, or by the effective number of rows."""
        counts = torch.from_numpy(prepared.counts)
        if arm.weighting == "balanced":
            return lossmith.class_weight("balanced", counts).float()
        if arm.weighting == "effective number":
            return lossmith.effective_number(counts, beta=arm.grid[attempt]["beta"]).float()
        return None

    def arms(self) -> Sequence[Arm]:
        """Losses, weights, resampling and calibration."""
        return default_arms()

    def further_arms(self) -> Sequence[Arm]:
        """Remedies that cost more than they usually give."""
        return [arm for arm in known_arms() if arm not in default_arms()]

    def wrong_kind(self, loss: Any) -> str:
        """A loss of classes takes the logits of all of them."""
        found = kind_of_loss(loss, ("likelihood", "overlap"), "softmax")
        hint = "a table with classes takes likelihood losses over classes: lossmith list --family likelihood"
        return f"{found}; {hint}" if found else ""

    def towards(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy's."""
        return torch.softmax(outputs, dim=1) - torch.nn.functional.one_hot(targets, outputs.shape[1]).movedim(-1, 1)

    def solved(self, outputs: Tensor, targets: Tensor) -> bool:
        """The largest logit is the class's."""
        return bool((outputs.argmax(1) == targets).all())

    @property
    def fitting(self) -> dict[str, str]:
        """Logits over classes, batches of rows."""
        return {"link": "softmax", "per": "batch", "counts": "{counts}"}

    def rows(self, outputs: Tensor, targets: NDArray[Any]) -> tuple[Floats, Labels]:
        """Log-probabilities [N, classes] and labels [N] of what is counted."""
        return torch.log_softmax(outputs.double(), dim=1).numpy(), targets

    def measure(self, prepared: "Prepared", outputs: Outputs, arm: Arm) -> dict[str, Any]:
        """Ranking, decisions and calibration on test; rule and calibration come from validation."""
        found = {part: self.rows(outputs[part], prepared.targets[part]) for part in ("validation", "test")}
        weights: dict[str, Floats | None] = dict(prepared.weights or {})
        log_p = {part: rows for part, (rows, _) in found.items()}
        (_, known), (_, labels) = found["validation"], found["test"]
        rule: dict[str, Any] = {"kind": "offsets"}
        if arm.calibration != "none":
            prior = prepared.counts / prepared.counts.sum()
            calibrator = calibrators.calibrator(arm.calibration, prior=prior)
            calibrator.fit(log_p["validation"], known, weights.get("validation"))
            log_p = {part: calibrator.apply(rows) for part, rows in log_p.items()}
            rule["calibration"] = calibrator.state()
        metric = rules.metric_of(self.training.metric, self.training.costs)
        start = rules.default_offsets(self.training.costs, self.outputs)
        offsets = rules.tune(log_p["validation"], known, metric, weights.get("validation"), start=start)
        return {
            "rule": {**rule, "values": offsets.tolist()},
            **self.figures(log_p["test"], labels, offsets, weights.get("test")),
        }

    def figures(self, log_p: Floats, labels: Labels, offsets: Floats, weight: Floats | None) -> dict[str, Any]:
        """Everything that is measured on test rows."""
        classes, positive = self.training.classes, self.training.positive
        plain = rules.default_offsets(self.training.costs, classes)
        decided = {"default": rules.decide(log_p, plain), "tuned": rules.decide(log_p, offsets)}
        probability = np.exp(log_p)
        return {
            "ranking": encoded.ranking(probability, labels, classes, positive, weight),
            "decision": {name: self.decision(chosen, labels, weight) for name, chosen in decided.items()},
            "calibration": encoded.calibration(probability, labels, classes, weight),
            "curves": curves(probability, labels, positive, weight, self.training.costs),
        }

    def decision(self, decided: Labels, labels: Labels, weight: Floats | None) -> dict[str, Any]:
        """The figures of decided labels, and what they cost where costs are known."""
        found = encoded.decision(decided, labels, self.training.classes, weight)
        if self.training.costs:
            found["cost"] = rules.mean_cost(self.training.costs, found["confusion"])
        return found


class Segmentation(Classification):
    """A class for every pixel, judged as rows are."""

    def score(self, outputs: Tensor, targets: NDArray[Any], weights: Floats | None, scale: float) -> float:
        """Mean F1 of the classes over all pixels, which is their mean Dice: ranking all pixels so often is slow."""
        decided = outputs.argmax(1).numpy().ravel()
        found: float | None = encoded.decision(decided, targets.ravel(), self.outputs)["macro_f1"]
        return 0.0 if found is None else found

    def rows(self, outputs: Tensor, targets: NDArray[Any]) -> tuple[Floats, Labels]:
        """Pixels as rows: all of them, or evenly spread ones where there are very many."""
        log_p = torch.log_softmax(outputs.double(), dim=1).movedim(1, -1).reshape(-1, self.outputs).numpy()
        step = max(1, -(-len(log_p) // MOST_PIXELS))
        return log_p[::step], targets.ravel()[::step]

    def decision(self, decided: Labels, labels: Labels, weight: Floats | None) -> dict[str, Any]:
        """With the mean intersection over union, ``TP / (TP + FP + FN)`` of every class that is there."""
        found = super().decision(decided, labels, weight)
        unions = [f1 / (2 - f1) for f1 in found["f1_per_class"] if f1 is not None]
        return {**found, "iou": float(np.mean(unions)) if unions else None}

    def made_up(self, outputs: int) -> tuple[Tensor, Tensor]:
        """Four images of 8 by 8."""
        logits = torch.linspace(-1.0, 1.0, 4 * outputs * 64).reshape(4, outputs, 8, 8)
        return logits, (torch.arange(4 * 64) % outputs).reshape(4, 8, 8)

    def arms(self) -> Sequence[Arm]:
        """Losses of pixels, of regions, and their sums."""
        from lossmith.compare.problems.defaults import segmentation_arms

        return segmentation_arms()

    def further_arms(self) -> Sequence[Arm]:
        """None."""
        return ()

    def wrong_kind(self, loss: Any) -> str:
        """Losses of pixels and of regions."""
        found = kind_of_loss(loss, ("likelihood", "overlap"), "softmax")
        return f"{found}; masks take likelihood and overlap losses: lossmith list --family overlap" if found else ""
