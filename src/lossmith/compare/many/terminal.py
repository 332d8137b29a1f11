"""A bench in a terminal: the headline, the sentences, a table for each question that decides, and where the page is."""

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.compare.many.report import RESULTS, Question, rows
from lossmith.compare.many.session import Bench
from lossmith.compare.many.wording import decisive
from lossmith.compare.report.terminal import short
from lossmith.compare.verdict.wording import NAMES, number, p_cell, signed
from lossmith.text import clean

MOST_FAILURES = 5


def show(bench: Bench) -> None:
    """Print it; a user's names are printed as they are, never as markup."""
    console = Console(highlight=False)
    verdict = bench.results["verdict"]
    console.print(Text(clean(verdict["headline"], 1000), style="bold"))
    for sentence in verdict["sentences"]:
        console.print(Text(clean(sentence, 2000)))
    for question in decisive(verdict):
        console.print(board(question))
    failures = [one for one in bench.results["datasets"] if one["status"] == "failed"]
    for one in failures[:MOST_FAILURES]:
        console.print(Text(f"{clean(one['name'])}: {clean(one['said'], 300)}", style="red"))
    if len(failures) > MOST_FAILURES:
        console.print(Text(f"and {len(failures) - MOST_FAILURES} more that cannot be compared, all on the page"))
    console.print(Text(f"Page: {bench.report}"), soft_wrap=True)


def board(question: Question) -> Table:
    """One line per entrant, the largest gain first."""
    caption = (
        f"{NAMES[question['metric']]} against cross-entropy over {len(question['datasets'])} data sets: average rank; "
        "median difference; data sets on which it is better, equal, worse; p after Holm."
    )
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption=caption, caption_justify="left")
    table.add_column(question["start"])
    for title in ("rank", "median", "+", "=", "-", "p", "verdict"):
        table.add_column(title, justify="right")
    for entry in rows(question):
        signs = [str(entry["signs"][word]) for word in ("better", "equal", "worse")]
        figures = [number(entry["rank"], 2), signed(entry["median"]), *signs, p_cell(entry["p_holm"])]
        table.add_row(Text(short(entry["title"])), *figures, RESULTS[entry["result"]])
    return table
