"""An evaluation from beginning to end: the table, its task, the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lossmith.errors import InputError
from lossmith.evaluation.asked import Asked
from lossmith.evaluation.classification import classification
from lossmith.evaluation.regression import regression
from lossmith.evaluation.task import infer
from lossmith.evaluation.translation import translation
from lossmith.table.frames import check_cells, check_column, frame_of, named
from lossmith.table.reading import read_table
from lossmith.text import clean

FIGURES = {"classification": classification, "regression": regression, "text": translation}


@dataclass(frozen=True)
class Evaluation:
    """What came out: every figure in ``results``, which goes into JSON as it is."""

    results: dict[str, Any]

    @property
    def figures(self) -> dict[str, float | None]:
        """The headline figures by name; None where undefined, with the reason in ``results["undefined"]``."""
        found: dict[str, float | None] = self.results["figures"]
        return found

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {'-' if value is None else f'{value:.4g}'}" for name, value in self.figures.items())
        return f"<Evaluation of {self.results['rows']} rows ({self.results['task']}): {shown}>"


def evaluate(
    data: Any,
    *,
    target: str,
    prediction: str,
    score: str | Sequence[str] = (),
    task: str | None = None,
    positive: Any = None,
    labels: Sequence[Any] | None = None,
    quantile: float | None = None,
    lower: str | None = None,
    upper: str | None = None,
    tokenize: str | None = None,
) -> Evaluation:
    """Compare a column of predictions with the true values, by the figures that fit what they are.

    Parameters
    ----------
    data
        The path of a CSV, TSV or Parquet file, or a data frame.
    target, prediction
        The columns of what is true and of what was predicted.
    score
        Classification: one column with the score of the positive class of two, or one column per class, named after
        the classes (``score_a``) or in the order of ``labels``. Log-loss, Brier and ECE need probabilities.
    task
        ``"classification"``, ``"regression"`` or ``"text"``; read off the columns where it is not given.
    positive, labels
        Classification: the positive class of two, and all classes there are.
    quantile
        Regression: which quantile the predictions are, for the pinball loss.
    lower, upper
        Regression: the columns of a prediction interval.
    tokenize
        Text: sacrebleu's tokenizer, 13a by default; ``"zh"`` for Chinese.

    Raises
    ------
    InputError
        In one sentence, where the table, a column or a choice cannot be used.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"y": ["a", "b", "b", "a", "a"], "yhat": ["a", "b", "b", "b", "a"]})
    >>> result = evaluate(table, target="y", prediction="yhat")
    >>> result.figures["accuracy"], result.results["confusion"]
    (0.8, [[2, 1], [0, 2]])
    """
    if isinstance(labels, str):
        raise InputError("labels must be a list of all classes, not one text; put them in a list.")
    asked = Asked(
        target=target,
        prediction=prediction,
        score=(score,) if isinstance(score, str) else tuple(score),
        task=task,
        positive=None if positive is None else str(positive),
        labels=None if labels is None else tuple(str(label) for label in labels),
        quantile=quantile,
        lower=lower,
        upper=upper,
        tokenize=tokenize,
    )
    asked.check()
    frame, source = opened(data, asked, ())
    task, reason = infer(frame, asked)
    asked.check_for(task)
    if task != "regression":
        frame, source = opened(data, asked, (target, prediction))  # labels and texts keep words such as 007 and NA
    about = {"source": source, "task": task, "task_reason": reason, "rows": len(frame)}
    return Evaluation({**about, "target": target, "prediction": prediction, **FIGURES[task](frame, asked)})


def opened(data: Any, asked: Asked, labels: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The table's columns that are asked for, all of them there, and its name."""
    path = isinstance(data, str | Path)
    source = clean(Path(data).name, 200) if path else "table"
    frame = named(read_table(data, labels) if path else frame_of(data), source)
    for name in asked.columns:
        check_column(frame, name, source)
    frame = frame[asked.columns]
    check_cells(frame)
    return frame, source
