"""The outcome of a comparison in a terminal: the verdict, a small leaderboard, and where the report is."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.compare.session import Comparison
from lossmith.compare.verdict.wording import NAMES, number
from lossmith.text import clean

MOST_FAILURES = 5


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
    counts = zip(task["classes"], task["counts"], strict=True)
    classes = ", ".join(f"{clean(name, 30)} {count}" for name, count in sorted(counts, key=lambda pair: -pair[1])[:10])
    more = f" and {len(task['classes']) - 10} more" if len(task["classes"]) > 10 else ""
    lines = [
        f"{clean(task['source'])}: {task['rows']} rows, {len(task['features'])} features, "
        f"target {clean(task['target'])} ({task['kind']}: {classes}{more})"
    ]
    if task.get("positive") is not None:
        lines.append(
            f"Positive class: {clean(task['classes'][task['positive']], 30)} (average precision is that class's)"
        )
    if task["dropped_rows"]:
        lines.append(f"Left out: {task['dropped_rows']} rows without a target")
    lines += [f"Left out: column {clean(column['name'])}, {column['reason']}" for column in task["dropped"]]
    return Text("\n".join(lines))


def leaderboard(results: dict[str, Any]) -> Table:
    """One line for each arm, the best decider first; the intervals are in the report."""
    metric = results["settings"]["metric"]
    caption = (
        f"CE: cross-entropy. AP: average precision. default, tuned: {NAMES[metric]} by rule. "
        "p: against cross-entropy, after Holm."
    )
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column("loss")
    for title in ("AP", "p", "default", "tuned", "p", "log-loss", "s/run"):
        table.add_column(title, justify="right")
    for row in results["verdict"]["table"]:
        decision = row["decision"]
        cells = [
            mean(row["ranking"]["average_precision"]),
            number(row["p"]["rank"], 2),
            mean(decision["default"][metric]),
            mean(decision["tuned"][metric]),
            number(row["p"]["decide"], 2),
            mean(row["calibration"]["log_loss"]),
            number(row["time"]["train_seconds"], 1),
        ]
        table.add_row(Text(short(row["title"])), *cells)
    return table


def short(title: str) -> str:
    """A title that leaves room for the figures in 80 columns.

    >>> short("Class-balanced cross-entropy"), short("Cross-entropy")
    ('Class-balanced CE', 'Cross-entropy')
    """
    return clean(title, 32).replace(" cross-entropy", " CE")


def mean(figure: dict[str, Any]) -> str:
    """The mean of a figure over the finished repeats."""
    return number(figure["mean"])
