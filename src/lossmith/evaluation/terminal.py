"""An evaluation in a terminal: the figures, a table of the classes, the confusion matrix, and what is undefined."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.evaluation.session import Evaluation
from lossmith.text import clean

TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, macro",
    "mcc": "Matthews correlation",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
    "mae": "MAE",
    "rmse": "RMSE",
    "mse": "MSE",
    "r2": "R2",
    "mape": "MAPE",
    "smape": "SMAPE",
    "pinball": "pinball loss",
    "coverage": "coverage of the interval",
    "interval_width": "mean width of the interval",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ter": "TER",
}
RANGES = {
    **dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "precision", "recall", "f1"), "0 to 1"),
    "mcc": "-1 to 1, 0 is chance",
    "roc_auc": "0 to 1, 0.5 is chance",
    "average_precision": "0 to 1",
    "log_loss": "less is better",
    "brier": "0 to 2, less is better",
    "ece": "0 to 1, less is better",
    "mae": "in the target's unit, less is better",
    "rmse": "in the target's unit, less is better",
    "mse": "less is better",
    "r2": "1 is perfect, 0 the mean of the target",
    "mape": "1 is 100 %, less is better",
    "smape": "0 to 2, less is better",
    "pinball": "in the target's unit, less is better",
    "coverage": "share of the rows, 0 to 1",
    "interval_width": "in the target's unit",
    "bleu": "0 to 100",
    "chrf": "0 to 100",
    "ter": "edits for 100 words, less is better",
}
PER_CLASS = {"precision": "precision", "recall": "recall", "f1": "F1", "roc_auc": "ROC-AUC", "average_precision": "AP"}
MOST_ROWS = 40
MOST_CLASSES = 12
HEADLINE = {"classification": "macro_f1", "regression": "rmse", "text": "bleu"}


def headline(result: Evaluation) -> str:
    """The one figure that --quiet prints."""
    name = HEADLINE[result.results["task"]]
    reason = result.results["undefined"].get(name)
    value = shown(result.figures[name], result.results["task"])
    return f"{TITLES[name]}: undefined, {reason}" if reason else f"{TITLES[name]}: {value}"


def show(result: Evaluation) -> None:
    """Print it; a user's names are printed as they are, never as markup."""
    console = Console(highlight=False)
    found = result.results
    console.print(Text("\n".join(about(found))))
    console.print(figures(found))
    if found["task"] == "classification":
        console.print(classes(found))
        console.print(Text("Confusion matrix: rows are true classes, columns predicted ones"))
        console.print(confusion(found))
    for name, signature in found.get("signatures", {}).items():
        console.print(Text(f"{TITLES[name]} signature: {clean(signature, 200)}"), soft_wrap=True)
    for note in found["notes"]:
        console.print(Text(f"Note: {clean(note, 1000)}"))


def about(found: dict[str, Any]) -> list[str]:
    """What was evaluated, as lines."""
    names = f"target {clean(found['target'])}, prediction {clean(found['prediction'])}"
    lines = [f"{clean(found['source'])}: {found['rows']:,} rows, {names}"]
    lines.append(f"Task: {found['task']}, {clean(found['task_reason'], 200)} (--task says otherwise)")
    if found["task_reason"] == "as you said":
        lines[-1] = f"Task: {found['task']}"
    if found.get("positive") is not None:
        lines.append(f"Positive class: {clean(found['positive'], 30)}")
    if found.get("scores"):
        pairs = [f"{clean(name, 30)} is {clean(label, 30)}" for name, label in found["scores"].items()]
        more = f" and {len(pairs) - 10} more" if len(pairs) > 10 else ""
        lines.append(f"Scores: {', '.join(pairs[:10])}{more}")
    if "quantile" in found:
        lines.append(f"Quantile: {found['quantile']:g}")
    return lines


def figures(found: dict[str, Any]) -> Table:
    """The headline figures, each with its value or with the reason why it has none."""
    table = Table(box=SIMPLE, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    own = ("precision", "recall", "f1", "roc_auc", "average_precision")
    for name, value in found["figures"].items():
        of = f" of {clean(found['positive'], 20)}" if found.get("positive") is not None and name in own else ""
        mean = ", macro" if not of and name in own else ""
        about = RANGES.get(name, "") if value is not None else f"undefined: {found['undefined'][name]}"
        table.add_row(Text(TITLES[name] + of + mean), shown(value, found["task"]), Text(clean(about, 300)))
    return table


def classes(found: dict[str, Any]) -> Table:
    """Precision, recall and F1 of every class, and their averages."""
    names = [name for name in PER_CLASS if name in found["per_class"][0]]
    rows = found["per_class"][:MOST_ROWS]
    hidden = len(found["per_class"]) - len(rows)
    caption = f"and {hidden} more classes, in --json" if hidden else None
    table = Table(box=SIMPLE, pad_edge=False, caption=caption, caption_justify="left")
    table.add_column("class")
    for title in ("rows", "predicted", *(PER_CLASS[name] for name in names)):
        table.add_column(title, justify="right")
    for row in rows:
        cells = [shown(row[name], "classification") for name in names]
        table.add_row(Text(clean(row["label"], 30)), f"{row['support']:,}", f"{row['predicted']:,}", *cells)
    table.add_section()
    for average, row in found["averages"].items():
        table.add_row(average, "", "", *(shown(row[name], "classification") for name in names if name in row))
    return table


def confusion(found: dict[str, Any]) -> Table | Text:
    """The confusion matrix, where a terminal has room for it."""
    labels = found["labels"]
    if len(labels) > MOST_CLASSES:
        return Text(f"The confusion matrix has {len(labels)} rows; --json prints it.")
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("")
    for label in labels:
        table.add_column(Text(clean(label, 12)), justify="right")
    for label, counts in zip(labels, found["confusion"], strict=True):
        table.add_row(Text(clean(label, 30), style="bold"), *(f"{count:,}" for count in counts))
    return table


def shown(value: float | None, task: str) -> str:
    """A figure with the digits that mean something; a dash where there is none.

    >>> shown(0.81251, "classification"), shown(12345.678, "regression"), shown(59.809989, "text"), shown(None, "text")
    ('0.8125', '12345.7', '59.81', '-')
    """
    if value is None:
        return "-"
    return f"{value:.6g}" if task == "regression" else f"{value:.2f}" if task == "text" else f"{value:.4f}"
