"""``--track``: every run and the verdict of a comparison in MLflow, Weights & Biases or TensorBoard.

The sinks of `lossmith.monitor` write the figures; what is added here are the words: parameters, headline, table. Each
arm has its figures under its name, and the steps are the repeats. Nothing leaves the machine unless the user's own
environment names a server. A tracker that fails is dropped with one sentence; the comparison goes on.
"""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lossmith.compare.settings import choose
from lossmith.extras import extra
from lossmith.monitor.sinks import MLflow, TensorBoard, WandB
from lossmith.text import as_clause

Record = dict[str, Any]
Figures = dict[str, float]

PROJECT = "lossmith"
NO_FIGURES = frozenset(("repeat", "chosen", "curve", "curves", "tries", "bins", "points", "confusion"))
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # of a server that is gone


class Tracker(Protocol):
    """What keeps the runs of a comparison somewhere."""

    def run(self, parameters: dict[str, Any], figures: Figures) -> None:
        """One run of an arm: what it was (arm, repeat, spec, status, reason), and its figures."""

    def verdict(self, headline: str, table: list[Record]) -> None:
        """The verdict, and the leaderboard as flat rows."""

    def close(self) -> None:
        """No more will come."""


class Tracking:
    """Call it with every record, and `finish` it with the results."""

    def __init__(self, kind: str, tracker: Tracker) -> None:
        self.kind = kind
        self.tracker: Tracker | None = tracker

    def __call__(self, record: Record) -> None:
        self.attempt(lambda tracker: tracker.run(parameters_of(record), figures_of(record)))

    def finish(self, results: Record) -> None:
        """Keep the verdict of all."""
        verdict = results["verdict"]
        self.attempt(lambda tracker: tracker.verdict(verdict["headline"], [flat(row) for row in verdict["table"]]))

    def attempt(self, action: Callable[[Tracker], None]) -> None:
        """Do it; a tracker that cannot is heard of once and not asked again."""
        if self.tracker is None:
            return
        try:
            with warnings.catch_warnings():  # what the tracker's library has to say of itself
                warnings.simplefilter("ignore")
                action(self.tracker)
        except Exception as error:
            self.tracker = None
            words = as_clause("".join(str(error).strip().splitlines()[:1])) or type(error).__name__
            print(f"warning: {self.kind} no longer tracks this comparison: {words}.", file=sys.stderr)


@contextmanager
def tracking(kind: str | None, folder: Path, settings: Record, task: Record) -> Iterator[Tracking]:
    """A `Tracking` for the time of a comparison; ``folder`` is its output folder, None for ``kind`` tracks nothing.

    ``settings`` and ``task`` are what `Settings.describe` and `Task.describe` give.

    Raises `InputError` for an unknown kind and `MissingError` where its package is not installed.
    """
    if kind is None:
        yield Tracking("nothing", Nothing())
        return
    choose("tracker", kind, tuple(TRACKERS))
    module, tracker = TRACKERS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extra(module, "tracking")
    track = Tracking(kind, Nothing())
    track.attempt(lambda _: setattr(track, "tracker", tracker(folder, flat({**settings, "task": about(task)}))))
    try:
        yield track
    finally:
        track.attempt(lambda tracker: tracker.close())


def about(task: Record) -> Record:
    """The few facts of a task that are parameters."""
    return {name: task[name] for name in ("source", "target", "kind", "rows") if name in task}


def parameters_of(record: Record) -> dict[str, Any]:
    """What a run was."""
    chosen = record["tries"][record["chosen"]]["spec"] if record["status"] == "ok" and record.get("tries") else None
    named = {name: record.get(name) for name in ("arm", "repeat", "status", "reason")}
    return {name: value for name, value in {**named, "spec": chosen}.items() if value is not None}


def figures_of(record: Record) -> Figures:
    """Every scalar of a record under its path, such as ``decision/tuned/macro_f1``; lists are for the report.

    >>> figures_of({"arm": "focal", "repeat": 1, "ranking": {"roc_auc": 0.5}, "epochs": 3})
    {'ranking/roc_auc': 0.5, 'epochs': 3.0}
    """
    kept = flat({name: value for name, value in record.items() if name not in NO_FIGURES})
    return {name: float(x) for name, x in kept.items() if isinstance(x, int | float) and not isinstance(x, bool)}


def flat(value: Record, prefix: str = "") -> Record:
    """The values that are no lists, of a nested dictionary, each under its path.

    >>> flat({"a": {"b": 1, "c": [2]}, "d": None})
    {'a/b': 1}
    """
    found: Record = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            found |= flat(inner, f"{prefix}{name}/")
        elif isinstance(inner, str | int | float):
            found[f"{prefix}{name}"] = inner
    return found


class Nothing:
    """No tracker."""

    def run(self, parameters: dict[str, Any], figures: Figures) -> None:
        pass

    def verdict(self, headline: str, table: list[Record]) -> None:
        pass

    def close(self) -> None:
        pass


class OnTensorBoard:
    """``OUT/tensorboard``: a folder for each arm, so that arms are lines of one picture over the repeats."""

    def __init__(self, folder: Path, settings: Record) -> None:
        self.folder, self.settings = folder / "tensorboard", settings
        self.sinks: dict[str, TensorBoard] = {}

    def sink(self, name: str) -> TensorBoard:
        """The writer of an arm's folder."""
        folder = re.sub(r"[^\w.,=()+*-]+", "_", name)  # a loss from a file is called by its path
        return self.sinks.setdefault(name, TensorBoard(self.folder / folder, prefix=""))

    def run(self, parameters: dict[str, Any], figures: Figures) -> None:
        sink, repeat = self.sink(parameters["arm"]), parameters["repeat"]
        if parameters["status"] == "ok":
            sink.write(repeat, figures)
        sink.opened().add_text("run", lines_of(parameters), repeat)

    def verdict(self, headline: str, table: list[Record]) -> None:
        writer = self.sink("verdict").opened()
        writer.add_text("headline", headline)
        writer.add_text("settings", lines_of(self.settings))
        writer.add_text("table", markdown(table))

    def close(self) -> None:
        for sink in self.sinks.values():
            sink.close()


class OnMLflow:
    """An MLflow run for the comparison and a child of it for each run, in ``OUT/mlflow`` or at MLFLOW_TRACKING_URI."""

    def __init__(self, folder: Path, settings: Record) -> None:
        import mlflow

        for name, value in PATIENCE.items():
            os.environ.setdefault(name, value)
        self.mlflow, self.before = mlflow, mlflow.get_tracking_uri()
        if "MLFLOW_TRACKING_URI" not in os.environ:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs more than mlflow-skinny
            mlflow.set_tracking_uri((folder / "mlflow").resolve().as_uri())
        self.client = mlflow.MlflowClient()
        found = self.client.get_experiment_by_name(PROJECT)
        self.experiment = found.experiment_id if found else self.client.create_experiment(PROJECT)
        self.parent = self.start(folder.name, settings)

    def start(self, name: str, parameters: Record, **tags: str) -> str:
        """The id of a new run with its parameters."""
        run_id: str = self.client.create_run(self.experiment, run_name=name, tags=tags).info.run_id
        for key, value in parameters.items():
            self.client.log_param(run_id, key, value)
        return run_id

    def run(self, parameters: dict[str, Any], figures: Figures) -> None:
        ended = parameters["status"] == "ok"
        name = f"{parameters['arm']}, repeat {parameters['repeat'] + 1}"
        child = self.start(name, parameters, **{"mlflow.parentRunId": self.parent})
        if ended:
            sink = MLflow(child, prefix="")
            sink.write(parameters["repeat"], figures)
            sink.close()
        self.client.set_terminated(child, "FINISHED" if ended else "FAILED")

    def verdict(self, headline: str, table: list[Record]) -> None:
        self.client.set_tag(self.parent, "headline", headline)
        self.client.set_tag(self.parent, "mlflow.note.content", f"{headline}\n\n{markdown(table)}")
        self.client.set_terminated(self.parent, "FINISHED")

    def close(self) -> None:
        if self.client.get_run(self.parent).info.status == "RUNNING":  # stopped before its verdict
            self.client.set_terminated(self.parent, "KILLED")
        self.mlflow.set_tracking_uri(self.before)


class OnWandB:
    """One run of Weights & Biases in ``OUT/wandb``, offline unless WANDB_MODE says otherwise; arms are prefixes."""

    def __init__(self, folder: Path, settings: Record) -> None:
        os.environ.setdefault("WANDB_MODE", "offline")
        import wandb

        options: dict[str, Any] = {"dir": str(folder), "project": PROJECT, "name": folder.name, "config": settings}
        self.wandb, self.run_of_all = wandb, wandb.init(**options, settings=wandb.Settings(silent=True))
        self.sinks: dict[str, WandB] = {}
        self.rows: list[Record] = []

    def run(self, parameters: dict[str, Any], figures: Figures) -> None:
        arm = parameters["arm"]
        self.rows.append({**parameters, **figures})
        if parameters["status"] == "ok":
            self.sinks.setdefault(arm, WandB(prefix=f"{arm}/")).write(parameters["repeat"], figures)

    def verdict(self, headline: str, table: list[Record]) -> None:
        self.run_of_all.summary["headline"] = headline
        self.run_of_all.log({"table": self.table(table), "runs": self.table(self.rows)})

    def table(self, rows: list[Record]) -> Any:
        """Rows as a table of W&B; a figure that a row does not have is empty."""
        names = columns_of(rows)
        return self.wandb.Table(columns=list(names), data=[[row.get(name) for name in names] for row in rows])

    def close(self) -> None:
        self.run_of_all.finish()


TRACKERS: dict[str, tuple[str, Callable[[Path, Record], Tracker]]] = {
    "mlflow": ("mlflow", OnMLflow),
    "wandb": ("wandb", OnWandB),
    "tensorboard": ("tensorboard", OnTensorBoard),
}


def columns_of(rows: list[Record]) -> list[str]:
    """All names that any row has, in the order in which they come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def lines_of(values: Record) -> str:
    """Names and values as a list in Markdown."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def markdown(rows: list[Record]) -> str:
    """Rows as a table in Markdown.

    >>> print(markdown([{"arm": "focal", "p": 0.03125}]))
    | arm | p |
    | --- | --- |
    | focal | 0.03125 |
    """
    names = columns_of(rows)
    lines = [names, ["---"] * len(names), *([cell(row.get(name, "")) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    """A value in a table: four digits of a number, and no bar that would end the cell."""
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
