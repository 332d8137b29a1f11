"""The outcome of a comparison in a terminal: the verdict, a small leaderboard, and where the report is."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.compare.problems.asked import Path
from lossmith.compare.report.questions import name, path
from lossmith.compare.session import Comparison
from lossmith.compare.verdict.judge import RULES
from lossmith.compare.verdict.records import Runs
from lossmith.compare.verdict.wording import number, p_cell, plural, shown
from lossmith.text import clean

MOST_FAILURES = 5
SHORT = {"average_precision": "AP"}


def show(comparison: Comparison) -> None:
    """Print it; a user's names are printed as they are, never as markup."""
    console = Console(highlight=False)
    verdict = comparison.results["verdict"]
    console.print(about(comparison.results["task"]))
    console.print()
    console.print(Text(clean(verdict["headline"], 1000), style="bold"))
    for sentence in verdict["sentences"]:
        console.print(Text(clean(sentence, 1000)))
    console.print(leaderboard(comparison.results))
    failures = comparison.failures
    for record in failures[:MOST_FAILURES]:
        where = f"{clean(record['arm'])}, repeat {record['repeat'] + 1}"
        console.print(Text(f"{record['status']}: {where}: {clean(record['reason'], 300)}", style="red"))
    if len(failures) > MOST_FAILURES:
        console.print(Text(f"and {len(failures) - MOST_FAILURES} more runs without success, all in the report"))
    console.print(Text(f"Report: {comparison.report}"), soft_wrap=True)


def about(task: dict[str, Any]) -> Text:
    """The task in a few lines: what is predicted from what, the classes, and what was left out."""
    known = task.get("classes") or []
    counts = zip(known, task.get("counts") or [], strict=True)
    classes = ", ".join(f"{clean(name, 30)} {count}" for name, count in sorted(counts, key=lambda pair: -pair[1])[:10])
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    lines = [
        f"{clean(task['source'])}: {task['rows']} rows, {plural(len(task['features']), 'feature')}, "
        f"target {clean(task['target'])} ({task['kind']}{': ' if classes else ''}{classes}{more})"
    ]
    if task.get("positive") is not None:
        lines.append(
            f"Positive class: {clean(task['classes'][task['positive']], 30)} (average precision is that class's)"
        )
    if task["dropped_rows"]:
        lines.append(f"Left out: {task['dropped_rows']} rows without a target")
    lines += [f"Left out: column {clean(column['name'])}, {column['reason']}" for column in task["dropped"]]
    lines += [clean(note, 300) for note in task.get("notes") or []]
    return Text("\n".join(lines))


def leaderboard(results: dict[str, Any]) -> Table:
    """One line for each arm, the best first; the intervals are in the report."""
    verdict, runs = results["verdict"], Runs(results)
    columns = [column for question in verdict["questions"] for column in figures(question)]
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption=note(runs, verdict), caption_justify="left")
    table.add_column("loss")
    for title, _ in columns:
        table.add_column(title, justify="right")
    table.add_column("s/run", justify="right")
    for row in verdict["table"]:
        cells = [told(runs, row, where) for _, where in columns]
        table.add_row(Text(short(row["title"])), *cells, number(row["time"]["train_seconds"], 1))
    return table


def figures(question: dict[str, Any]) -> list[tuple[str, Path | str]]:
    """The columns of a question: what to read of the records, and of which question p."""
    columns: list[tuple[str, Path | str]]
    if question["rule"] == "tuned":
        columns = [(rule, path(question, rule)) for rule in RULES]
    else:
        columns = [(SHORT.get(question["metric"], name(question["metric"])), path(question))]
    return [*columns, ("p", question["name"])] if question["decisive"] else columns


def told(runs: Runs, row: dict[str, Any], where: Path | str) -> str:
    """A mean over the finished repeats, or a p after Holm's correction."""
    if isinstance(where, str):
        return p_cell(row["p"][where])
    return shown(runs.estimate(row["arm"], where)["mean"], where[-1])


def note(runs: Runs, verdict: dict[str, Any]) -> str:
    """What the heads of the leaderboard mean."""
    metrics = [question["metric"] for question in verdict["questions"]]
    parts = ["CE: cross-entropy. AP: average precision."] if "average_precision" in metrics else []
    parts += [f"default, tuned: {name(q['metric'])} by rule." for q in verdict["questions"] if q["rule"] == "tuned"]
    return " ".join([*parts, f"p: against {runs.words.baseline}, after Holm."])


def short(title: str) -> str:
    """A title that leaves room for the figures in 80 columns.

    >>> short("Class-balanced cross-entropy"), short("Cross-entropy")
    ('Class-balanced CE', 'Cross-entropy')
    """
    return clean(title, 32).replace(" cross-entropy", " CE")
