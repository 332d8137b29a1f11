"""A bench from beginning to end: the data sets, a comparison of each, what they say together, the page.

Every comparison has its own folder and keeps its own finished runs, so that a bench that was killed goes on where it
stopped, and each data set has a report of its own.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.compare.call import conduct
from lossmith.compare.environment import check_extra
from lossmith.compare.runs.engine import EngineError
from lossmith.compare.session import Comparison, Outcome
from lossmith.errors import InputError, LossmithError
from lossmith.text import clean

if TYPE_CHECKING:
    from lossmith.compare.many.findings import Finding
    from lossmith.compare.many.sets import DataSet

Told = Callable[[int, int, str, str | None], None]
"""Called with data sets done, data sets in all, a name, and what its comparison says (None: it begins)."""

Entry = dict[str, Any]


@dataclass(frozen=True, repr=False)
class Bench(Outcome):
    """What the comparisons of many data sets have found together."""

    page = "bench.html"


def bench(
    source: str | Path,
    target: str | None = None,
    *,
    out: str | Path | None = None,
    budget: str | float | None = None,
    told: Told | None = None,
    **options: Any,
) -> Bench:
    """Compare losses on many data sets, and judge over them (Demsar 2006): which loss is worth trying first.

    Parameters
    ----------
    source
        A folder of CSV, TSV and Parquet files, or a CSV with the columns ``data``, ``target`` and perhaps ``name``.
    target
        The column to predict in every table of a folder; the last one where none is given.
    out
        The folder of the page, with one folder per data set; ``lossmith-report/bench-<name of the source>``.
    budget
        The time for everything: seconds, or a text such as ``"2h"``. Each data set gets its share of what is left.
    told
        A function for progress, see `Told`.
    options
        What `lossmith.compare.compare` takes: ``losses``, ``model``, ``repeats``, ``metric``, ``jobs``, ``seed`` ...

    Raises
    ------
    InputError
        Where there is no data set, or none can be compared; nothing is written then.
    """
    check_extra()
    from lossmith.compare.many.sets import find
    from lossmith.compare.settings import seconds

    sets = find(source, target)
    name = Path(source).stem or Path(source).resolve().name
    folder = Path(out) if out is not None else Path("lossmith-report") / f"bench-{name}"
    limit = seconds("budget", budget)
    work = Work(sets, folder, options, None if limit is None else time.monotonic() + limit, told or silent)
    work.run()
    return work.finished({"source": name, "budget": limit, **options})


def silent(done: int, planned: int, name: str, said: str | None) -> None:
    """Says nothing."""


@dataclass
class Work:
    """The data sets, and what has been found on them so far."""

    sets: "list[DataSet]"
    folder: Path
    options: dict[str, Any]
    deadline: float | None
    told: Told
    entries: list[Entry] = field(default_factory=list)
    findings: "dict[str, Finding]" = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def run(self) -> None:
        """Every data set, one after the other, until done or told to stop."""
        for number, one in enumerate(self.sets):
            self.told(number, len(self.sets), one.name, None)
            try:
                entry = self.compared(one, self.share(len(self.sets) - number))
            except KeyboardInterrupt:
                self.interrupted = True
                break
            self.entries.append(entry)
            self.told(number + 1, len(self.sets), one.name, entry["said"])
            if self.interrupted:
                break

    def share(self, left: int) -> float | None:
        """The seconds for the next data set: an equal share of what is left, so that all get some."""
        return None if self.deadline is None else max(0.001, (self.deadline - time.monotonic()) / left)

    def compared(self, one: "DataSet", budget: float | None) -> Entry:
        """One data set as the page lists it; one that cannot be compared says why."""
        from lossmith.compare.many.sets import target_of

        began = time.monotonic()
        target = target_of(one)
        entry: Entry = {"name": one.name, "data": str(one.path), "target": target}
        try:
            comparison = conduct(
                one.path, target, out=self.folder / one.name, budget=budget, quiet=True, **self.options
            )
        except (LossmithError, EngineError) as error:
            if isinstance(error, LossmithError):
                self.sentences[one.name] = str(error)
            return entry | {"status": "failed", "said": clean(error, 500)}
        self.interrupted = comparison.interrupted
        entry |= facts(comparison) | {"time": {"wall_seconds": time.monotonic() - began}}
        return entry | self.status(one.name, comparison)

    def status(self, name: str, comparison: Comparison) -> Entry:
        """Whether a comparison can be judged with the others, and its own verdict."""
        from lossmith.compare.many.findings import finding

        found = finding(comparison.results)
        if any(found.means.values()):
            self.findings[name] = found
            return {"status": comparison.results["status"], "said": comparison.verdict}
        waiting = comparison.results["status"] == "partial"
        return {"status": "waiting" if waiting else "failed", "said": comparison.verdict}

    def finished(self, settings: dict[str, Any]) -> Bench:
        """The results, written; nothing is written where no data set could even be tried."""
        if len(self.sentences) == len(self.sets):
            raise InputError(hopeless(self.sentences))
        from lossmith.compare.many.report import write

        results = self.results(settings)
        write(self.folder, results)
        return Bench(results, self.folder, self.interrupted)

    def results(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Everything that the page shows."""
        from lossmith import __version__
        from lossmith.compare.many.judge import judge, together

        found, apart = together(self.findings)
        tried = {entry["name"] for entry in self.entries}
        left = [
            {"name": one.name, "data": str(one.path), "target": one.target, "status": "waiting", "said": "not begun"}
            for one in self.sets
            if one.name not in tried
        ]
        entries = [*self.entries, *left]
        known = {
            "planned": len(self.sets),
            "failed": {entry["name"]: entry["said"] for entry in entries if entry["status"] == "failed"},
            "waiting": [entry["name"] for entry in entries if entry["status"] in ("waiting", "partial")],
            "apart": apart,
            "words": words(found),
        }
        return {
            "version": __version__,
            "settings": settings,
            "status": "partial" if known["waiting"] else "complete",
            "datasets": entries,
            "verdict": judge(found, known),
        }


def facts(comparison: Comparison) -> Entry:
    """What a reader wants to know of a data set."""
    task = comparison.results["task"]
    counts = task.get("counts") or []
    repeats = {record["repeat"] for record in comparison.results["records"] if record["status"] == "ok"}
    return {
        "rows": task["rows"],
        "features": len(task.get("features") or []),
        "kind": task["kind"],
        "classes": len(counts),
        "rarest": min(counts) / sum(counts) if counts else None,
        "repeats": len(repeats),
        "target": task["target"],
        "report": f"{comparison.folder.name}/{comparison.report.name}",
    }


def words(findings: "dict[str, Finding]") -> str:
    """What the baseline is called in a sentence."""
    titles: Iterator[str] = (found.titles[found.baseline] for found in findings.values())
    title = next(titles, "Cross-entropy")
    return title[:1].lower() + title[1:]


def hopeless(sentences: dict[str, str]) -> str:
    """Why nothing at all can be compared: what all say alike, or what the first one says."""
    name, sentence = next(iter(sentences.items()))
    if len(set(sentences.values())) == 1:
        return sentence
    return f"none of the {len(sentences)} data sets can be compared; the first, {clean(name)}: {sentence}"
