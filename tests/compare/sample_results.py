"""Invented results in the shape that ``lossmith compare`` hands to the verdict and the report.

THE FIGURES HERE ARE MADE UP: nobody trained anything. They exist to test layout and statistics, and must never be
quoted. Labels and probabilities are drawn at random and then measured by the real ``lossmith.metrics``.
"""

import numpy as np

from lossmith import metrics

CLASSES = ["text", "horizontal line", "picture", "vertical line", "graphic"]
COUNTS = [4913, 329, 28, 87, 115]

ARMS = [
    ("cross_entropy", "Cross-entropy", "none", {}),
    ("logit_adjusted", "Logit-adjusted cross-entropy", "none", {"tau": [0.5, 1.0, 1.5]}),
    ("label_smoothing", "Label smoothing", "none", {"label_smoothing": [0.05, 0.1, 0.2]}),
    ("balanced", "Balanced cross-entropy", "balanced", {}),
    ("class_balanced", "Class-balanced cross-entropy", "effective number", {"beta": [0.99, 0.999, 0.9999]}),
    (
        "class_balanced_focal",
        "Class-balanced focal",
        "effective number",
        {"beta": [0.99, 0.999, 0.9999], "gamma": [0.5, 1.0, 2.0]},
    ),
    ("focal", "Focal", "none", {"gamma": [0.5, 1.0, 2.0]}),
    ("poly", "Poly-1", "none", {"epsilon": [-0.5, 1.0, 2.0]}),
    ("generalized_cross_entropy", "Generalized cross-entropy", "none", {"q": [0.3, 0.5, 0.7]}),
]
ABOUT = "Cross-entropy that looks away from what is already easy."


def make(
    classes=CLASSES,
    counts=COUNTS,
    arms=None,
    repeats=8,
    test_rows=400,
    signal=3.0,
    gains=None,
    tuning=0.3,
    failed=(),
    missing=(),
    seed=0,
    target="block",
):
    """Results of a comparison; ``gains`` adds signal to arms by name, ``failed`` and ``missing`` hold (arm, repeat).

    ``tuning`` is how far the tuned rule moves towards the rare classes, which helps the more of them there are.
    """
    arms = [arm_entry(*arm) for arm in (arms or ARMS)]
    records = []
    for repeat in range(repeats):
        task = draw(np.random.default_rng([seed, repeat]), counts, test_rows)
        for index, arm in enumerate(arms):
            if (arm["name"], repeat) in missing:
                continue
            if (arm["name"], repeat) in failed:
                records.append(failure(arm["name"], repeat))
                continue
            random = np.random.default_rng([seed, repeat, index])
            strength = signal + (gains or {}).get(arm["name"], 0.0)
            records.append(record(arm, repeat, task, strength, tuning, random, len(classes)))
    return {
        "version": "0.1.0",
        "settings": settings(repeats, seed),
        "task": description(classes, counts, target),
        "arms": arms,
        "records": records,
        "status": "partial" if missing else "complete",
        "environment": {"python": "3.11.9", "torch": "2.13.0", "platform": "Linux x86_64", "cores": 2},
    }


def arm_entry(name, title, weighting="none", grid=None):
    parameter = next((key for key in grid or {} if key not in ("beta", "tau")), None)
    loss = {"focal": "focal", "poly": "poly", "generalized_cross_entropy": "generalized_cross_entropy"}.get(
        "focal" if name == "class_balanced_focal" else name, "cross_entropy"
    )
    spec = f"{loss}({parameter}={{{parameter}}})" if parameter else loss
    return {
        "name": name,
        "title": title,
        "about": ABOUT,
        "template": spec,
        "spec": spec,
        "weighting": weighting,
        "adjust": name == "logit_adjusted",
        "grid": grid or {},
    }


def draw(random, counts, rows):
    share = np.array(counts) / np.sum(counts)
    y = np.concatenate([np.arange(len(counts)).repeat(2), random.choice(len(counts), size=rows, p=share)])
    return y, random.normal(size=(len(y), len(counts))), np.log(share)


def record(arm, repeat, task, signal, tuning, random, classes):
    y, noise, prior = task
    logits = noise + 0.25 * random.normal(size=noise.shape) + prior
    logits[np.arange(len(y)), y] += signal
    if arm["weighting"] != "none" or arm["adjust"]:
        logits = logits - 0.8 * prior
    prob = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    offsets = -tuning * prior
    positive = 1 if classes == 2 else None
    ranking = metrics.ranking(prob, y, classes, positive)
    grid = [dict(zip(arm["grid"], point, strict=True)) for point in zip(*arm["grid"].values(), strict=True)]
    grid = grid or [{}] * 3
    return {
        "arm": arm["name"],
        "repeat": repeat,
        "status": "ok",
        "reason": None,
        "tries": [
            {"params": point, "spec": arm["spec"].format(**point), "validation": 0.8 + 0.01 * k}
            for k, point in enumerate(grid)
        ],
        "chosen": int(random.integers(3)),
        "epochs": 12,
        "curve": curve(random, ranking["average_precision"] or 0.5),
        "counts": weighted(arm, task_counts(y, classes)),
        "sizes": {"train": 3 * len(y), "validation": len(y), "test": len(y)},
        "ranking": ranking,
        "decision": {
            "default": metrics.decision(prob.argmax(axis=1), y, classes),
            "tuned": metrics.decision((np.log(prob) + offsets).argmax(axis=1), y, classes),
        },
        "rule": {"kind": "offsets", "values": offsets.tolist()},
        "calibration": metrics.calibration(prob, y, classes),
        "time": {"train_seconds": 1 + float(random.random()), "total_seconds": 2.5, "started": "2026-11-22T00:10:00"},
    }


def curve(random, end):
    epochs = np.arange(int(random.integers(25, 45)))
    rise = end * (1 - 0.7 * np.exp(-epochs / 6)) + 0.01 * random.normal(size=len(epochs))
    return {"loss": (0.1 + np.exp(-epochs / 8)).tolist(), "validation": rise.tolist()}


def task_counts(y, classes):
    return (3 * np.bincount(y, minlength=classes)).tolist()


def weighted(arm, counts):
    n = np.array(counts, dtype=float)
    if arm["weighting"] == "balanced":
        return {"train": counts, "effective": [float(n.sum() / len(n))] * len(n)}
    if arm["weighting"] == "effective number":
        weight = (1 - 0.999) / (1 - 0.999**n)
        return {"train": counts, "effective": (n * weight / weight.sum() * len(n)).tolist()}
    return {"train": counts, "effective": n.tolist()}


def failure(arm, repeat):
    return {
        "arm": arm,
        "repeat": repeat,
        "status": "failed" if repeat % 2 == 0 else "timeout",
        "reason": "focal(gamma=2): the training loss is not finite in epoch 3.",
        "time": {"train_seconds": 0.1, "total_seconds": 0.2, "started": "2026-11-22T00:10:00"},
    }


def settings(repeats, seed):
    return {
        "model": "mlp",
        "metric": "macro_f1",
        "repeats": repeats,
        "seed": seed,
        "jobs": 2,
        "budget": None,
        "tries": 3,
        "batch_size": 128,
        "split": [0.6, 0.2, 0.2],
        "hidden": [64, 64],
        "optimizer": "AdamW",
        "learning_rate": 0.003,
        "weight_decay": 0.01,
        "early_stopping": "average precision on validation",
    }


def description(classes, counts, target):
    kinds = ["numeric", "numeric", "categorical", "boolean", "date"]
    return {
        "source": "page-blocks.csv",
        "target": target,
        "kind": "binary" if len(classes) == 2 else "multiclass",
        "classes": list(classes),
        "counts": list(counts),
        "positive": 1 if len(classes) == 2 else None,
        "rows": int(np.sum(counts)),
        "dropped_rows": 3,
        "features": [{"name": f"feature {i}", "kind": kinds[i % 5], "missing": 7 * (i == 2)} for i in range(10)],
        "dropped": [{"name": "row id", "reason": "different in every row, like an id"}],
        "encoded_width": 14,
    }
