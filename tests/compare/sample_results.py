"""Invented results in the shape that ``lossmith compare`` hands to the verdict and the report.

THE FIGURES HERE ARE MADE UP: nobody trained anything. They exist to test layout and statistics, and must never be
quoted. Labels and probabilities are drawn at random and then measured by the real ``lossmith.metrics``.
"""

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

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
        "curves": curves(prob, y, positive),
        "gradient": gradient(prob, y),
        "slices": {"region": {name: sliced(prob, y, k) for k, name in enumerate(("north", "south", "far away"))}},
        "time": {"train_seconds": 1 + float(random.random()), "total_seconds": 2.5, "started": "2026-11-22T00:10:00"},
    }


def curves(prob, y, positive):
    """Precision by recall and recall by false-positive rate, of one class or the mean over all; thresholds of two."""
    grid = np.linspace(0, 1, 101)
    chosen = [positive] if positive is not None else [k for k in range(prob.shape[1]) if (y == k).any()]
    precisions, rates = [], []
    for k in chosen:
        precision, recall, _ = precision_recall_curve(y == k, prob[:, k])
        false, true, _ = roc_curve(y == k, prob[:, k])
        precisions.append(np.interp(grid, recall[::-1], precision[::-1]))
        rates.append(np.interp(grid, false, true))
    found = {"precision": np.mean(precisions, axis=0).tolist(), "tpr": np.mean(rates, axis=0).tolist()}
    if positive is not None:
        found["threshold"] = thresholds(prob[:, positive], y == positive)
    return found


def thresholds(score, hit):
    called = score[:, None] >= np.arange(1, 100) / 100
    true, found, positive = (called & hit[:, None]).sum(axis=0), called.sum(axis=0), hit.sum()
    right = len(hit) - positive - (found - true)
    f1 = (2 * true / (found + positive) + 2 * right / (2 * len(hit) - found - positive)) / 2
    precision = [float(t / n) if n else None for t, n in zip(true, found, strict=True)]
    return {"macro_f1": f1.tolist(), "recall": (true / positive).tolist(), "precision": precision}


def gradient(prob, y):
    """Shares of the gradient's size, of cross-entropy: by class and by tenths of 1 - p."""
    size = 1 - prob[np.arange(len(y)), y]
    by_class = np.bincount(y, size, minlength=prob.shape[1])
    by_bin = np.bincount(np.minimum((size * 10).astype(int), 9), size, minlength=10)
    return {"classes": (by_class / size.sum()).tolist(), "bins": (by_bin / size.sum()).tolist()}


def sliced(prob, y, k):
    rows = np.arange(len(y)) % 3 == k
    decided = metrics.decision(prob[rows].argmax(axis=1), y[rows], prob.shape[1])
    return {"rows": int(rows.sum()), "average_precision": None if k == 2 else 0.7, "macro_f1": decided["macro_f1"]}


REGRESSION_ARMS = ["squared_error", "absolute_error", "huber", "quantile_interval"]


def regression(repeats=8, rows=80, gains=None, failed=(), seed=0):
    """Results of a comparison of losses for numbers in which mean errors differ by ``gains``."""
    arms = [
        {
            "name": name,
            "title": name.replace("_", " ").capitalize(),
            "about": "Made up.",
            "template": name,
            "spec": name,
        }
        | {"weighting": "none", "grid": {}}
        for name in REGRESSION_ARMS
    ]
    records = []
    for repeat in range(repeats):
        for index, arm in enumerate(arms):
            if (arm["name"], repeat) in failed:
                records.append(failure(arm["name"], repeat))
                continue
            scale = 1200 * (1 - (gains or {}).get(arm["name"], 0.0))
            records.append(
                number_record(arm["name"], repeat, scale, rows, np.random.default_rng([seed, repeat, index]))
            )
    task = description([], [], "price") | {"kind": "regression", "rows": 500}
    return {
        "version": "0.1.0",
        "settings": settings(repeats, seed) | {"metric": "rmse", "early_stopping": "mean absolute error on validation"},
        "task": task,
        "arms": arms,
        "records": records,
        "status": "complete",
        "environment": {"python": "3.11.9", "torch": "2.13.0", "platform": "Linux x86_64", "cores": 2},
    }


def number_record(arm, repeat, scale, rows, random):
    y = np.random.default_rng([99, repeat]).gamma(2.0, 20_000, size=rows)
    off = scale * random.standard_t(4, size=rows)
    spread = np.mean((y - y.mean()) ** 2)
    mae = float(np.mean(np.abs(off)))
    raw = {"level": 0.9, "coverage": 0.86 + 0.01 * random.random(), "width": 9000.0 + 100 * random.random()}
    return {
        "arm": arm,
        "repeat": repeat,
        "status": "ok",
        "reason": None,
        "tries": [{"params": {}, "spec": arm, "validation": -mae}] * 3,
        "chosen": 0,
        "epochs": 9,
        "curve": curve(random, -1.0),
        "counts": {"train": [], "effective": []},
        "sizes": {"train": 3 * rows, "validation": rows, "test": rows},
        "width": 14,
        "errors": {
            "mae": mae,
            "rmse": float(np.sqrt(np.mean(off**2))),
            "median_ae": float(np.median(np.abs(off))),
            "mape": None,
            "smape": 0.05,
            "r2": float(1 - np.mean(off**2) / spread),
            "skill": 0.9,
        },
        "interval": raw | {"conformal_coverage": 0.9, "conformal_width": 9900.0} if "interval" in arm else None,
        "points": {"prediction": (y + off).tolist(), "target": y.tolist()},
        "slices": {"region": {"north": {"rows": 30, "mae": mae}, "south": {"rows": 50, "mae": 2 * mae}}},
        "rule": {"kind": "none"},
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
