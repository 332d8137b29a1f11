"""The finished runs of a comparison, and how figures are read out of them and paired over repeats."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lossmith.compare.problems.asked import Path as Path
from lossmith.compare.problems.asked import Words, metrics_of, words_of
from lossmith.compare.remedies.arms import BASELINE as BASELINE
from lossmith.compare.verdict.inference import Estimate, estimate

RANKING: tuple[str, ...] = ("average_precision", "roc_auc")
CALIBRATION: tuple[str, ...] = ("log_loss", "brier", "ece")


class Runs:
    """The records of a comparison by arm and repeat; only finished runs have figures, the others have reasons."""

    def __init__(self, results: dict[str, Any]) -> None:
        self.settings: dict[str, Any] = results["settings"]
        self.arms: list[dict[str, Any]] = results["arms"]
        self.kind = str(results.get("task", {}).get("kind", "binary"))
        self.words: Words = words_of(self.kind)
        self.metric = str(self.settings.get("metric") or metrics_of(self.kind)[0])
        self.baseline = str(self.arms[0]["name"]) if self.arms else BASELINE
        self.repeats = int(self.settings["repeats"])
        self.records = sorted(results["records"], key=lambda record: int(record["repeat"]))
        self.finished: dict[str, dict[int, dict[str, Any]]] = {arm["name"]: {} for arm in self.arms}
        for record in self.records:
            if record["status"] == "ok" and record["arm"] in self.finished:
                self.finished[record["arm"]][int(record["repeat"])] = record

    @property
    def planned(self) -> int:
        """How many runs a complete comparison has."""
        return len(self.arms) * self.repeats

    @property
    def count(self) -> int:
        """How many runs have finished."""
        return sum(len(runs) for runs in self.finished.values())

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The runs that have failed or timed out."""
        return [record for record in self.records if record["status"] != "ok"]

    @property
    def ratio(self) -> float:
        """Test rows per row that a model was fitted on."""
        sizes = [record["sizes"] for runs in self.finished.values() for record in runs.values()]
        return float(np.mean([size["test"] / size["train"] for size in sizes])) if sizes else 0.0

    def title(self, arm: str) -> str:
        """What an arm is called in sentences."""
        return next((str(a["title"]) for a in self.arms if a["name"] == arm), arm)

    def figures(self, arm: str, path: Path) -> dict[int, float]:
        """One figure of an arm in every repeat that has it."""
        found = {repeat: dig(record, path) for repeat, record in self.finished[arm].items()}
        return {repeat: float(value) for repeat, value in found.items() if value is not None}

    def estimate(self, arm: str, path: Path) -> Estimate:
        """The mean of one figure of an arm with its interval."""
        return estimate(list(self.figures(arm, path).values()), self.ratio)

    def differences(self, one: tuple[str, Path], other: tuple[str, Path]) -> dict[int, float]:
        """One figure minus another in the repeats that have both."""
        left, right = self.figures(*one), self.figures(*other)
        return {repeat: left[repeat] - right[repeat] for repeat in left if repeat in right}

    def chosen(self, arm: str) -> list[tuple[dict[str, Any], int]]:
        """The tries of an arm with how often each was the best on validation: the most frequent, then the first."""
        records = list(self.finished[arm].values())
        if not records:
            return []
        votes = Counter(int(record["chosen"]) for record in records)
        tries = records[0]["tries"]
        return [(tries[k], votes[k]) for k in sorted(range(len(tries)), key=lambda k: (-votes[k], k))]


def dig(record: dict[str, Any], path: Path) -> Any:
    """The value at a path of keys."""
    value: Any = record
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None  # a record of an older version may lack it
    return value


def total(tables: Sequence[Any]) -> Any:
    """The element-wise sum of nested lists of numbers, such as the confusion matrices of all repeats."""
    return np.sum([np.asarray(table) for table in tables], axis=0).tolist()
