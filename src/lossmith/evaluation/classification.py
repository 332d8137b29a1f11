"""The figures of predicted classes, and of their scores where there are some."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lossmith import metrics
from lossmith.errors import InputError
from lossmith.evaluation.asked import Asked
from lossmith.evaluation.columns import labels_of
from lossmith.evaluation.scores import Classes, Scores, classes, refuse_strange, scores
from lossmith.metrics.classification import AVERAGES
from lossmith.metrics.labels import Ints
from lossmith.text import listing, quote

MOST_CLASSES = 2000
ONE_CLASS = "the target holds one class only"
CALIBRATION = ("log_loss", "brier", "ece")
RANKING = ("roc_auc", "average_precision")


def classification(frame: pd.DataFrame, asked: Asked) -> dict[str, Any]:
    """Figures of the decisions, of every class, of the ranking and of the probabilities."""
    y_words, pred_words = labels_of(frame[asked.target]), labels_of(frame[asked.prediction])
    found = classes(set(y_words) | set(pred_words), asked)
    if len(found.labels) > MOST_CLASSES:
        raise InputError(f"there are {len(found.labels):,} classes, more than {MOST_CLASSES:,}; give the right task.")
    for name, values in ((asked.target, y_words), (asked.prediction, pred_words)):
        refuse_strange(name, values, found.labels)
    number = {label: place for place, label in enumerate(found.labels)}
    pred, y = (np.array([number[word] for word in words]) for words in (pred_words, y_words))
    rows, averages = per_class(pred, y, found.labels), average_figures(pred, y, len(found.labels))
    figures, undefined = decisions(pred, y, found, rows)
    notes = notes_on_classes(rows)
    if asked.score:
        given = scores(frame, found)
        figures |= score_figures(given, y, found, rows)
        undefined |= score_reasons(figures, given, y, found)
        notes += notes_on_scores(given, pred, found)
    never = "a class that occurs is never predicted, and has no precision"
    undefined |= {f"{average}_precision": never for average, row in averages.items() if row["precision"] is None}
    return {
        "labels": found.labels,
        "positive": found.positive,
        "scores": found.columns,
        "figures": figures,
        "undefined": undefined,
        "per_class": rows,
        "averages": averages,
        "confusion": metrics.confusion_matrix(pred, y, labels=range(len(found.labels))).counts,
        "notes": notes,
    }


def per_class(pred: Ints, y: Ints, labels: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each class, with the reason for whatever is undefined."""
    absent = "the class does not occur in the target"
    rows = []
    for found, label in zip(metrics.per_class(pred, y, labels=range(len(labels))), labels, strict=True):
        row = {**found._asdict(), "label": label}
        reasons = {"precision": "the class is never predicted", "recall": absent, "f1": absent}
        row["undefined"] = {name: reason for name, reason in reasons.items() if row[name] is None}
        rows.append(row)
    return rows


def average_figures(pred: Ints, y: Ints, count: int) -> dict[str, dict[str, float | None]]:
    """Precision, recall and F1 over all classes, by every way to average."""
    measures = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
    return {
        average: {name: measure(pred, y, average=average, labels=range(count)) for name, measure in measures.items()}
        for average in AVERAGES
    }


def decisions(pred: Ints, y: Ints, found: Classes, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """The headline figures of the predicted labels; of two classes the positive one's own come along."""
    everything = metrics.decision(pred, y, len(found.labels))
    figures = {name: everything[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "mcc")}
    undefined = {"mcc": ONE_CLASS} if figures["mcc"] is None else {}
    if found.positive is not None:
        row = rows[found.labels.index(found.positive)]
        figures |= {name: row[name] for name in ("precision", "recall", "f1")}
        undefined |= row["undefined"]
    return figures, undefined


def score_figures(given: Scores, y: Ints, found: Classes, rows: list[dict[str, Any]]) -> dict[str, float | None]:
    """Ranking and calibration; the ranking of every class against the rest goes into its row."""
    positive = None if found.positive is None else found.labels.index(found.positive)
    ranking = metrics.ranking(given.ranking, y, len(found.labels), positive)
    for number, row in enumerate(rows):
        for name in RANKING:
            row[name] = ranking[f"{name}_per_class"][number]
            if row[name] is None:
                only = "every row is of this class" if row["support"] else "the class does not occur in the target"
                row["undefined"][name] = only
    calibration = {} if given.probability is None else metrics.calibration(given.probability, y, len(found.labels))
    return {name: ranking[name] for name in RANKING} | {name: calibration.get(name) for name in CALIBRATION}


def score_reasons(figures: dict[str, float | None], given: Scores, y: Ints, found: Classes) -> dict[str, str]:
    """Why figures of the scores are undefined."""
    reason = ONE_CLASS
    if found.positive is not None and not (y == found.labels.index(found.positive)).any():
        reason = f"the positive class {quote(found.positive)} does not occur in the target"
    reasons = dict.fromkeys(RANKING, reason)
    reasons |= dict.fromkeys(CALIBRATION, f"the scores are no probabilities ({given.reason}), so they only rank")
    return {name: reasons[name] for name in (*RANKING, *CALIBRATION) if figures[name] is None}


def notes_on_classes(rows: list[dict[str, Any]]) -> list[str]:
    """What classes without rows or predictions do to the figures."""
    absent = [row["label"] for row in rows if not row["support"] and not row["predicted"]]
    strange = [row["label"] for row in rows if not row["support"] and row["predicted"]]
    silent = [row["label"] for row in rows if row["support"] and not row["predicted"]]
    left_out = "a class that does not occur has no recall, F1, ROC-AUC or average precision, and no mean counts it"
    notes = []
    if strange:
        notes.append(f"Predicted, but not in the target: {listing(strange)} (misspelt?); {left_out}.")
    if absent:
        notes.append(f"Neither in the target nor predicted: {listing(absent)}; {left_out}.")
    if silent:
        notes.append(
            f"Never predicted: {listing(silent)}; its precision, and the macro and weighted one, is undefined."
        )
    return notes


def notes_on_scores(given: Scores, pred: Ints, found: Classes) -> list[str]:
    """Where the predictions are not what the scores say; a wrong order of the columns shows here."""
    if given.probability is None and len(found.columns) == 1:
        return []
    rows = given.ranking if given.probability is None else given.probability
    highest = rows[np.arange(len(pred)), pred] >= rows.max(axis=1)
    other = int((~highest).sum())
    if not other:
        return []
    return [f"In {other} of {len(pred)} rows the prediction is not the class with the highest score."]
