"""The answers shown: a table for a terminal, and one HTML page that opens offline and fetches nothing."""

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.audit.check import CHECKS, Outcome
from lossmith.audit.run import Audit
from lossmith.page import template

PAGE = Path(__file__).parent / "page" / "audit.html"
MARKS = {"pass": ("pass", "green"), "fail": ("FAIL", "bold red"), "not applicable": ("n/a", "dim")}


def show(audit: Audit, console: Console | None = None) -> None:
    """Print every answer, and explain the failures; a loss's own words are printed as they are, never as markup."""
    console = console or Console(highlight=False)
    console.print(Text(f"{audit.loss}, kind {audit.kind} ({audit.layout}; {audit.found})", style="bold"))
    console.print(table(audit))
    for one in audit.failures:
        console.print(Text(f"FAIL {one.name}", style="bold red"))
        for words in (f"expected: {one.expected}", f"seen: {one.seen}", f"why: {one.why}", one.link):
            console.print(Text(f"  {words}"), soft_wrap=True)
    console.print(Text(audit.sentence(), style="bold"))


def table(audit: Audit) -> Table:
    """One line for each check, by theme."""
    found = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    for title in ("check", "", "seen, or why it does not apply"):
        found.add_column(title, no_wrap=title == "check")
    theme = ""
    shown = [one for one in audit.outcomes if not of_other_kinds(one, audit)]
    for one in shown:
        if one.theme != theme:
            theme = one.theme
            found.add_row(Text(theme, style="bold"))
        mark, style = MARKS[one.status]
        found.add_row(
            Text(f" {one.name}"), Text(mark, style=style), Text(one.seen, style=style if mark == "n/a" else "")
        )
    if len(shown) < len(audit.outcomes):
        found.add_row(Text(f"and {len(audit.outcomes) - len(shown)} checks for other kinds", style="dim"))
    return found


def of_other_kinds(outcome: Outcome, audit: Audit) -> bool:
    """Whether a check is not for losses of this kind at all."""
    kinds = CHECKS[outcome.name].kinds
    return bool(kinds) and audit.kind not in kinds


def catalogue(console: Console | None = None) -> None:
    """Print all checks: what each expects, why, and for which kinds."""
    console = console or Console(highlight=False)
    theme = ""
    for one in CHECKS.values():
        if one.theme != theme:
            theme = one.theme
            console.print(Text(theme, style="bold"))
        kinds = f" [{', '.join(one.kinds)}]" if one.kinds else ""
        console.print(Text(f"  {one.name}{kinds}"), soft_wrap=True)
        for words in (f"expects {one.expects}", one.why, one.link):
            console.print(Text(f"      {words}", style="dim"), soft_wrap=True)
    console.print(Text(f"{len(CHECKS)} checks"))


def page(audit: Audit) -> str:
    """The answers as the text of one HTML file; everything that comes from the loss is escaped."""
    themes = {
        theme: [o for o in audit.outcomes if o.theme == theme]
        for theme in dict.fromkeys(o.theme for o in audit.outcomes)
    }
    return template(PAGE).render(audit=audit, themes=themes, marks=MARKS, counts=audit.counts())
