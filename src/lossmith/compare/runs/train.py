"""One run: one arm on one repeat, from the prepared rows to the record. Nothing is ever fitted on test rows."""

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.compare.models import network
from lossmith.compare.models.build import build
from lossmith.compare.models.fitted import Fitted, Floats, Prepared
from lossmith.compare.problems import problem_of
from lossmith.compare.problems.problem import Problem
from lossmith.compare.remedies import resampling
from lossmith.compare.remedies.arms import TRIES, Arm
from lossmith.compare.runs.objective import Objective
from lossmith.compare.runs.prepare import Arrays, Encoders, prepare
from lossmith.compare.runs.slices import slices
from lossmith.compare.settings import TREES, Training
from lossmith.errors import InputError

DIFFICULTIES = 10


@dataclass(frozen=True)
class Scoring:
    """The common early-stopping score on the rows of a repeat."""

    problem: Problem
    prepared: Prepared

    @property
    def outputs(self) -> int:
        """How many numbers a model puts out for a row."""
        return self.problem.outputs

    def score(self, outputs: Tensor, part: str) -> float:
        """Larger is better."""
        weights = None if self.prepared.weights is None else self.prepared.weights[part]
        return self.problem.score(outputs, self.prepared.targets[part], weights, self.prepared.scale)


class Repeat:
    """The rows of one repeat, and what has been trained on them: arms that differ after training share it."""

    def __init__(self, arrays: Arrays, training: Training, repeat: int, parts: dict[str, Any] | None = None) -> None:
        self.arrays, self.training = arrays, training
        self.problem = problem_of(training)
        self.prepared: Prepared
        self.encoders: Encoders
        self.prepared, self.encoders, self.parts = prepare(arrays, training, self.problem, repeat, parts)
        self.last: tuple[str, list[Fitted]] = ("", [])

    def run(self, arm: Arm) -> dict[str, Any]:
        """Train every try of an arm, keep the best on validation, and measure that one on test."""
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        tries = self.tries(arm)
        chosen = int(np.argmax([one.validation for one in tries]))
        best, prepared = tries[chosen], self.prepared
        return {
            "arm": arm.name,
            "repeat": prepared.repeat,
            "status": "ok",
            "reason": None,
            "tries": [
                {
                    "params": dict(arm.grid[attempt]),
                    "spec": arm.spec(attempt, prepared.counts.tolist()),
                    "validation": one.validation,
                }
                for attempt, one in enumerate(tries)
            ],
            "chosen": chosen,
            "epochs": best.epochs,
            "curve": best.curve,
            "counts": self.counts(arm, chosen),
            "sizes": {part: len(targets) for part, targets in prepared.targets.items()},
            "width": math.prod(prepared.inputs["train"].shape[1:]),
            **self.problem.measure(prepared, best.outputs, arm),
            **self.gradient(arm, chosen, best),
            **slices(self, best, arm),
            "time": {
                "train_seconds": sum(one.seconds for one in tries),
                "total_seconds": time.perf_counter() - clock,
                "started": started,
            },
        }

    def tries(self, arm: Arm) -> list[Fitted]:
        """The tries of an arm; those of the last one again where arms differ in calibration alone.

        Arms that differ so follow each other, and the outputs of all arms together would be large.
        """
        trained = replace(arm, name="", title="", about="", calibration="none")
        key = repr(trained)
        if key != self.last[0]:
            self.last = key, [self.fit(trained, attempt) for attempt in range(TRIES)]
        return self.last[1]

    def fit(self, arm: Arm, attempt: int) -> Fitted:
        """One try."""
        found = seeds(self.training.seed, self.prepared.repeat, attempt)
        if kind_of(arm) == "ensemble":
            return self.ensemble(arm, attempt, found)
        return self.fit_on(self.resampled(arm, found[1]), arm, attempt, found)

    def fit_on(self, prepared: Prepared, arm: Arm, attempt: int, found: tuple[int, int]) -> Fitted:
        """One model on training rows as they are given."""
        objective = Objective(self.problem, prepared, arm, attempt)
        scoring = self.scoring(prepared)
        if self.training.model in TREES:
            from lossmith.compare.models import trees

            return trees.fit(prepared, scoring, objective, found, self.training.model)
        model = build(self.training, prepared, objective.outputs, found[0])
        return network.fit(prepared, self.training, scoring, objective, model, self.epochs(prepared, arm, found[1]))

    def scoring(self, prepared: Prepared) -> network.Scoring:
        """What stops training."""
        return Scoring(self.problem, prepared)

    def epochs(self, prepared: Prepared, arm: Arm, seed: int) -> network.Epochs:
        """The batches of every epoch."""
        targets = prepared.targets["train"]
        size = self.training.batch_size(len(targets))
        if kind_of(arm) != "batches":
            return network.shuffled(len(targets), self.training, seed)
        return itertools.islice(resampling.batches(arm.resampling, targets, size, seed), self.training.epochs)

    def resampled(self, arm: Arm, seed: int) -> Prepared:
        """The prepared rows with other training rows, made from training rows alone."""
        targets = self.prepared.targets["train"]
        if kind_of(arm) == "rows":
            return self.with_rows(resampling.drawn_rows(arm.resampling, targets, seed))
        if kind_of(arm) != "made-up rows":
            return self.prepared
        table = self.encoders.table
        if table is None or self.encoders.texts:
            raise InputError(f"{arm.resampling} makes rows up between numbers and categories, and there are texts.")
        matrix = table.impute(self.arrays["matrix"][self.parts["train"]])
        # ADASYN is not offered beside categories; a mark of what is missing is a number to it.
        kinds = ["number"] * matrix.shape[1] if arm.resampling == "adasyn" else table.kinds_imputed
        matrix, targets = resampling.resampled(arm.resampling, matrix, targets, kinds, seed)
        inputs = torch.from_numpy(np.ascontiguousarray(table.encode(matrix), np.float32))
        return self.with_training(inputs, targets, self.weights_beside(targets))

    def with_rows(self, rows: Any) -> Prepared:
        """The prepared rows with these of the training rows, some of them perhaps repeatedly."""
        prepared = self.prepared
        weights = None if prepared.weights is None else prepared.weights["train"][rows]
        return self.with_training(prepared.inputs["train"][rows], prepared.targets["train"][rows], weights)

    def with_training(self, inputs: Tensor, targets: Any, weights: Floats | None) -> Prepared:
        """The prepared rows with another training part."""
        prepared = self.prepared
        return replace(
            prepared,
            inputs={**prepared.inputs, "train": inputs},
            targets={**prepared.targets, "train": targets},
            counts=self.problem.counts(targets),
            weights=None if weights is None else {**(prepared.weights or {}), "train": weights},
        )

    def weights_beside(self, targets: Any) -> Floats | None:
        """The weights of the training rows, and for each made-up row at the end the mean of its class."""
        if self.prepared.weights is None:
            return None
        known, labels = self.prepared.weights["train"], self.prepared.targets["train"]
        means = np.bincount(labels, known) / np.maximum(np.bincount(labels), 1)
        return np.concatenate([known, means[targets[len(known) :]]])

    def ensemble(self, arm: Arm, attempt: int, found: tuple[int, int]) -> Fitted:
        """Several models, each on its own balanced part of the training rows; logits of their mean probability."""
        subsets = resampling.balanced_subsets(self.prepared.targets["train"], found[1])
        members = [self.fit_on(self.with_rows(rows), arm, attempt, found) for rows in subsets]
        outputs = {name: mean_probability([one.outputs[name] for one in members]) for name in ("validation", "test")}
        score = self.scoring(self.prepared).score(outputs["validation"], "validation")
        longest = max(members, key=lambda one: one.epochs)
        seconds, states = sum(one.seconds for one in members), [one.state for one in members]
        return Fitted(score, longest.epochs, longest.curve, outputs, seconds, states)

    def counts(self, arm: Arm, attempt: int) -> dict[str, list[float]]:
        """Training rows of every class as they are, as they are seen, and as the loss counts them."""
        prepared = self.prepared
        seen = prepared.counts.astype(float)
        if arm.resampling != "none":
            seen = self.seen(arm, seeds(self.training.seed, prepared.repeat, attempt)[1])
        weight = self.problem.weight(prepared, arm, attempt)
        by_class = None if weight is None else (weight if weight.dim() == 1 else weight[:, 1]).double().numpy()
        effective = seen if by_class is None else by_class * seen
        return {"train": prepared.counts.tolist(), "after": seen.tolist(), "effective": effective.tolist()}

    def seen(self, arm: Arm, seed: int) -> Any:
        """Rows of every class in one epoch of a resampling arm."""
        targets = self.prepared.targets["train"]
        if kind_of(arm) == "batches":
            rows = torch.cat(next(self.epochs(self.prepared, arm, seed)))
            return self.problem.counts(targets[rows.numpy()]).astype(float)
        if kind_of(arm) == "ensemble":
            subsets = resampling.balanced_subsets(targets, seed)
            return np.mean([self.problem.counts(targets[rows]) for rows in subsets], axis=0)
        return self.resampled(arm, seed).counts.astype(float)

    def gradient(self, arm: Arm, attempt: int, best: Fitted) -> dict[str, Any]:
        """Which classes, and rows of which difficulty, supply the gradient at the best epoch, in shares of its size."""
        if self.training.problem not in ("binary", "multiclass") or "train" not in best.outputs:
            return {}
        if kind_of(arm) not in ("none", "batches"):  # the outputs are those of other rows
            return {}
        objective = Objective(self.problem, self.prepared, arm, attempt)
        outputs = best.outputs["train"].clone().requires_grad_()
        labels = torch.from_numpy(self.prepared.targets["train"])
        torch.autograd.backward(objective(outputs, torch.arange(len(outputs))))
        assert outputs.grad is not None
        size = outputs.grad.abs().sum(1).double()
        hard = 1 - outputs.detach().double().softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
        bins = (hard * DIFFICULTIES).long().clamp(0, DIFFICULTIES - 1)
        total = size.sum().clamp_min(1e-300)
        shares = [
            torch.bincount(key, size, minlength=n) / total
            for key, n in ((labels, self.problem.outputs), (bins, DIFFICULTIES))
        ]
        return {"gradient": dict(zip(("classes", "bins"), (share.tolist() for share in shares), strict=True))}


def mean_probability(logits: Sequence[Tensor]) -> Tensor:
    """Logits of the mean of several models' probabilities.

    >>> logits = [torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()]
    >>> [round(p, 6) for p in mean_probability(logits).softmax(1)[0].tolist()]
    [0.7, 0.3]
    """
    return torch.stack([one.double().log_softmax(1) for one in logits]).logsumexp(0).float()


def kind_of(arm: Arm) -> str:
    """What an arm's resampling changes: "none", "rows", "made-up rows", "batches" or "ensemble"."""
    return "none" if arm.resampling == "none" else resampling.RESAMPLINGS[arm.resampling].kind


def seeds(seed: int, repeat: int, attempt: int) -> tuple[int, int]:
    """The seeds of the initial weights and of the batch order of one try, the same for every arm."""
    weights, order = np.random.SeedSequence([seed, repeat, attempt]).generate_state(2)
    return int(weights), int(order)
