"""An explanation shown: text for a terminal, and one HTML page that opens offline and fetches nothing."""

import re
import sys
from pathlib import Path

from markupsafe import Markup
from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lossmith.explanation.braille import chart
from lossmith.explanation.document import Entry, Explanation
from lossmith.explanation.picture import svg
from lossmith.page import template
from lossmith.text import clean

PAGE = Path(__file__).parent / "page" / "show.html"
STYLES = {"yes": "green", "no": "red", "not claimed": "dim"}
LONG = 4000  # characters of one paragraph of somebody's docstring


def page(explanation: Explanation) -> str:
    """The text of one HTML file; everything that comes from the loss is escaped."""
    picture = "" if explanation.picture else Markup(svg(explanation.figure()))  # matplotlib escapes
    head, *short = heads(explanation)
    return template(PAGE).render(one=explanation, picture=picture, head=head, short=short)


def heads(explanation: Explanation) -> list[str]:
    """The head of a table: nothing and the variants without the name that they share; of one parameter it and values.

    >>> from lossmith.explanation.document import explain
    >>> heads(explain("focal", {"gamma": [0, 2]})), heads(explain("tversky", {"alpha": [0.5, 1], "beta": 0.5}))
    (['gamma', '0', '2'], ['', 'alpha=0.5, beta=0.5', 'alpha=1, beta=0.5'])
    """
    name = explanation.entries[0].name
    if len(explanation.variants) == 1:
        return ["", ""]
    labels = [label.removeprefix(f"{name}(").removesuffix(")") for label in explanation.variants]
    single = [re.fullmatch(r"(\w+)=([^,]*)", label) for label in labels]
    found = [(one[1], one[2]) for one in single if one]
    if len(found) < len(labels) or len({word for word, _ in found}) > 1:
        return ["", *labels]
    return [found[0][0], *(value for _, value in found)]


def quiet(explanation: Explanation) -> str:
    """One line: what it is, and what holds."""
    held = [f"{row.title}: {row.answers[0]}" for row in explanation.rows] if len(explanation.variants) == 1 else []
    terms = [f"{one.name}: {one.summary}" for one in explanation.entries]
    said = terms if len(terms) > 1 else [explanation.entries[0].summary]
    return clean(f"{explanation.spec}: {'; '.join([*said, *held])}", LONG)


def show(explanation: Explanation, console: Console | None = None) -> None:
    """Print it; a loss's own words are printed as they are, never as markup."""
    console = console or Console(highlight=False)
    if len(explanation.entries) > 1:
        console.print(Text(clean(explanation.spec, LONG), style="bold"))
    for one in explanation.entries:
        _entry(one, console)
    _picture(explanation, console)
    if explanation.rows:
        console.print(_rows(explanation))
    for one in explanation.entries:
        _details(one, console)


def _entry(one: Entry, console: Console) -> None:
    home = f"   {one.family.replace('_', ' ')}, {clean(one.class_name)}"
    console.print(Text.assemble((clean(one.name), "bold"), (home, "dim")))
    _indented(one.summary, console)
    for words in one.notes:
        _indented(words, console, "dim")
    for title, words in (("Use it", one.use), ("Not", one.avoid)):
        if words:
            text = Text.assemble((f"{title} ", "bold"), clean(words, LONG), ".")
            console.print(Padding(text, (0, 0, 0, 2)))
    console.print()


def _indented(words: str, console: Console, style: str = "") -> None:
    console.print(Padding(Text(clean(words, LONG), style=style), (0, 0, 0, 2)))


def _picture(explanation: Explanation, console: Console) -> None:
    """Curves of dots where the output can show them, else where the picture is, or why there is none."""
    if explanation.picture:
        _indented(explanation.picture, console, "dim")
        return
    dots = "utf" in (console.encoding or sys.stdout.encoding or "")
    drawn = chart(explanation.subjects, min(console.width - 4, 64)) if dots else None
    if drawn is not None:
        console.print(Padding(drawn, (0, 0, 1, 2)))
    else:
        _indented("Its picture does not fit a terminal: --html FILE writes a page with it.", console, "dim")
        console.print()


def _rows(explanation: Explanation) -> Table:
    several = len(explanation.variants) > 1
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, show_header=several)
    head, *short = heads(explanation)
    table.add_column(Text(clean(head)), no_wrap=True)
    for label in short:
        table.add_column(Text(clean(label)), no_wrap=not several)
    if not several:
        table.add_column("")
    for row in explanation.rows:
        styles = [STYLES[answer.split(",")[0]] for answer in row.answers]
        narrow = [answer.replace(", ", "\n").replace(" = ", "=") for answer in row.answers]  # the constant below
        words = narrow if several else row.answers
        answers = [Text(*pair) for pair in zip(words, styles, strict=True)]
        table.add_row(Text(row.title), *answers, *([] if several else [Text(row.sentence, style="dim")]))
    return table


def _details(one: Entry, console: Console) -> None:
    own = [p for p in one.parameters if p.own]
    console.print()
    if own:
        table = Table(box=SIMPLE, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, show_header=False)
        for p in own:
            legal = f"{p.rule}, default {p.default}"
            table.add_row(Text(p.name, style="bold"), Text(legal), Text(p.about, style="dim"))
        console.print(table)
    rest = ", ".join(f"{p.name}={p.default}" for p in one.parameters if not p.own)
    if rest:
        _indented(f"{clean(one.name)} also takes {rest}.", console, "dim")
    for code, result in one.anchors:
        for line in code.splitlines():
            _indented(f">>> {clean(line, 300)}", console)
        _indented(clean(result, 200), console)
    if one.source:
        _indented(f"Source: {one.source}", console, "dim")
