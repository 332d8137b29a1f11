"""A comparison that has been found to be possible: its runs, its verdict, its report.

The heavy parts are imported inside the functions, so that a worker process, which imports this package too, does not
load what it never uses.
"""

import platform
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lossmith.compare.environment import cores, versions
from lossmith.compare.runs.store import Store, key_of

if TYPE_CHECKING:
    from lossmith.compare.data.task import Task
    from lossmith.compare.remedies.arms import Arm
    from lossmith.compare.runs.engine import EngineError, Executor, Run, Stop
    from lossmith.compare.settings import Settings, Training

Record = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Outcome:
    """What came out: every figure in ``results``, and the files in ``folder``."""

    page: ClassVar[str]

    results: dict[str, Any]
    folder: Path
    interrupted: bool = False

    @property
    def verdict(self) -> str:
        """What to use and how sure that is, in one sentence."""
        return str(self.results["verdict"]["headline"])

    @property
    def report(self) -> Path:
        """The HTML page."""
        return self.folder / self.page

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.verdict} Report: {self.report}>"


@dataclass(frozen=True, repr=False)
class Comparison(Outcome):
    """What a comparison has found."""

    page = "report.html"

    @property
    def finished(self) -> int:
        """How many runs have given figures."""
        return sum(record["status"] == "ok" for record in self.results["records"])

    @property
    def failures(self) -> list[Record]:
        """The runs that failed or took too long, each with its reason."""
        return [record for record in self.results["records"] if record["status"] != "ok"]


@dataclass
class Session:
    """One comparison that has been found to be possible."""

    settings: "Settings"
    task: "Task"
    training: "Training"
    batch_size: int  # rows of one training step
    splits: str  # how the rows are split, in words
    store: Store
    stop: "Stop"
    quiet: bool = False
    executor: "Executor | None" = None  # the worker processes of this machine, where no other is given
    track: str | None = None  # "mlflow", "wandb" or "tensorboard"

    def __post_init__(self) -> None:
        from lossmith.compare.problems import problem_of
        from lossmith.compare.remedies.choice import check_arms, choose_arms

        problem = problem_of(self.training)
        self.arms: list[Arm] = choose_arms(self.settings.losses, problem)
        check_arms(self.arms, problem)

    def hold(self, fresh: bool) -> Comparison:
        """Run what is not there yet, then judge and report what there is."""
        from lossmith.compare.runs.tracking import tracking

        self.store.open()
        started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
        # The report's libraries take seconds to load, so they do it while the workers start and not at a deadline.
        threading.Thread(target=import_module, args=("lossmith.compare.report.html",), daemon=True).start()
        plan = self.plan()
        records = {} if fresh else self.finished(plan)
        for run in plan:
            if run.key not in records:
                self.store.forget(run.key)
        with tracking(self.track, self.store.folder, self.settings.describe(), self.task.describe()) as track:
            for record in records.values():  # of an earlier call, which may have tracked nothing
                track(record)
            broken = self.fill(plan, records, track)
            if broken and not records:
                raise broken
            results = self.results(plan, records)
            results["time"] = {"started": started, "wall_seconds": time.monotonic() - clock}
            self.write(results)
            track.finish(results)
        if broken:
            raise broken
        return Comparison(results, self.store.folder, self.stop.interrupted)

    def fill(
        self, plan: "list[Run]", records: dict[str, Record], track: Callable[[Record], None]
    ) -> "EngineError | None":
        """Make and keep the records that are not there; why workers could no longer be started, if so."""
        from lossmith.compare.runs.engine import EngineError

        # Closed at once where a record cannot be kept, so that no worker goes on for nothing.
        with closing(self.work([run for run in plan if run.key not in records], len(plan))) as work:
            try:
                for run, record in work:
                    self.store.save(run.key, record)
                    records[run.key] = record
                    track(record)
            except EngineError as error:
                return error
        return None

    def plan(self) -> "list[Run]":
        """Every run, all arms of one repeat before the next, so that a partial comparison is still paired."""
        from lossmith.compare.runs.engine import Run

        shared = {
            "versions": versions(),
            "data": self.task.digest,
            "training": asdict(self.training),
            "batch": self.batch_size,
        }
        keys = {arm.name: {**shared, "arm": identity(arm)} for arm in self.arms}
        return [
            Run(arm, repeat, key_of({**keys[arm.name], "repeat": repeat}))
            for repeat in range(self.settings.repeats)
            for arm in self.arms
        ]

    def finished(self, plan: "list[Run]") -> dict[str, Record]:
        """The records that an earlier call has left."""
        found = {run.key: self.store.load(run.key) for run in plan}
        return {key: record for key, record in found.items() if record is not None}

    def work(self, runs: "list[Run]", planned: int) -> "Generator[tuple[Run, Record]]":
        """The runs with their records as they end, with progress, until done or told to stop."""
        from lossmith.compare.runs.engine import Workload, execute, stopping_on_signals
        from lossmith.compare.runs.progress import following

        workload = Workload({"training": asdict(self.training)}, self.task.arrays)
        with stopping_on_signals(self.stop), following(planned, planned - len(runs), self.quiet) as step:
            make = self.executor or execute
            ended = make(runs, workload, self.settings.jobs, self.settings.timeout, self.stop)
            with closing(ended):
                for run, record in ended:
                    yield run, record
                    step(record)

    def results(self, plan: "list[Run]", records: dict[str, Record]) -> dict[str, Any]:
        """Everything that the verdict and the report need."""
        from lossmith import __version__

        found = [records[run.key] for run in plan if run.key in records]
        widths = [record["width"] for record in found if record["status"] == "ok"]
        return {
            "version": __version__,
            "settings": {**self.settings.describe(), "batch_size": self.batch_size},
            "task": {**self.task.describe(), "encoded_width": max(widths, default=None), "split": self.splits},
            "arms": [arm.describe() for arm in self.arms],
            "records": found,
            "status": "complete" if len(found) == len(plan) else "partial",
            "environment": {
                "python": platform.python_version(),
                **versions(),
                "platform": platform.platform(),
                "cores": cores(),
            },
        }

    def write(self, results: dict[str, Any]) -> None:
        """The verdict, the figures and the report, each file whole or not at all."""
        from lossmith.compare.report.saved import written
        from lossmith.compare.verdict.judge import judge

        results["verdict"] = judge(results)
        for name, text in written(results).items():
            self.store.write(name, text)


def identity(arm: "Arm") -> dict[str, Any]:
    """What of an arm changes its figures: not its title, but the user's file behind it."""
    from lossmith.compare.remedies.arms import source_text

    words = {name: value for name, value in asdict(arm).items() if name not in ("title", "about")}
    return {**words, "source": source_text(arm)}
