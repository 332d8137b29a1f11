"""Invented findings and comparisons for the tests of this folder: nobody trained anything."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lossmith.compare.many.findings import DEFAULT, INSTEAD, Finding, all_asked
from lossmith.compare.many.judge import judge

TITLES = {"cross_entropy": "Cross-entropy", "focal": "Focal", "poly": "Poly-1"}
# data sets: figures of (cross-entropy tuned, cross-entropy default, focal, poly) in macro-F1
Rows = list[tuple[float, float, float, float]]


def findings(rows: Rows, ranking: Rows | None = None, result: str = "unclear") -> dict[str, Finding]:
    """One finding for each row; ranking takes (cross-entropy, unused, focal, poly)."""
    asked = all_asked("binary", "macro_f1")
    found = {}
    for number, (row, order) in enumerate(zip(rows, ranking or rows, strict=True)):
        tuned, plain, focal, poly = row
        means: dict[str, Any] = {
            "rank": {("cross_entropy", None): order[0], ("focal", None): order[2], ("poly", None): order[3]},
            "decide": {
                ("cross_entropy", "tuned"): tuned,
                ("cross_entropy", "default"): plain,
                ("focal", "tuned"): focal,
                ("poly", "tuned"): poly,
            },
            INSTEAD: {
                ("cross_entropy", "tuned"): tuned,
                ("cross_entropy", DEFAULT): plain,
                ("focal", DEFAULT): focal - 0.1,
                ("poly", DEFAULT): poly - 0.1,
            },
            "trust": {("cross_entropy", None): 0.5, ("focal", None): 0.6, ("poly", None): 0.4},
        }
        results = {name: dict.fromkeys(list(entries)[1:], result) for name, entries in means.items()}
        found[f"set_{number}"] = Finding(asked, "cross_entropy", dict(TITLES), means, results)
    return found


def verdict(found: dict[str, Finding], **more: Any) -> dict[str, Any]:
    """The verdict over findings."""
    facts = {"planned": len(found), "failed": {}, "waiting": [], "apart": [], "words": "cross-entropy"}
    return judge(found, {**facts, **more})


def results(found: dict[str, Finding], **more: Any) -> dict[str, Any]:
    """Results as the page takes them."""
    datasets = [
        {"name": name, "data": f"{name}.csv", "status": "complete", "said": "Keep it.", "target": "y"} for name in found
    ]
    settings = {"source": "folder", "model": "linear", "repeats": 6, "losses": None}
    words = {"version": "0", "settings": settings, "status": "complete", "datasets": datasets}
    return {**words, "verdict": verdict(found, **more)}


def comparison(folder: Path, gain: float = 0.1, status: str = "complete", interrupted: bool = False) -> Any:
    """What `conduct` gives back: two arms over six repeats, focal ahead by ``gain`` with a little noise."""
    rng = np.random.default_rng(len(folder.name))
    records = [
        record(arm, repeat, 0.5 + ahead + 0.01 * rng.random())
        for repeat in range(6)
        for arm, ahead in (("cross_entropy", 0.0), ("focal", gain))
    ]
    entries = [{"arm": "focal", "rule": rule, "n": 6, "result": "better"} for rule in (None, "tuned")]
    plain = {"arm": "cross_entropy", "rule": "default", "n": 6, "result": "worse"}
    questions = [
        {"name": "rank", "baseline": "cross_entropy", "comparisons": [entries[0]]},
        {"name": "decide", "baseline": "cross_entropy", "comparisons": [plain, entries[1]]},
    ]
    return SimpleNamespace(
        folder=folder,
        report=folder / "report.html",
        verdict="Use Focal.",
        interrupted=interrupted,
        results={
            "settings": {"metric": "macro_f1", "repeats": 6},
            "task": {"kind": "binary", "rows": 120, "features": [1, 2], "counts": [90, 30], "target": "y"},
            "arms": [{"name": name, "title": TITLES[name]} for name in ("cross_entropy", "focal")],
            "records": records,
            "status": status,
            "verdict": {"questions": questions},
        },
    )


def record(arm: str, repeat: int, figure: float) -> dict[str, Any]:
    """One run."""
    return {
        "arm": arm,
        "repeat": repeat,
        "status": "ok",
        "sizes": {"train": 72, "validation": 24, "test": 24},
        "ranking": {"average_precision": figure, "roc_auc": figure},
        "decision": {"tuned": {"macro_f1": figure}, "default": {"macro_f1": figure - 0.2}},
        "calibration": {"log_loss": 1 - figure},
    }
