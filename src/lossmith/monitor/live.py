"""The newest record as a table that stays in place in a terminal, and as plain lines elsewhere."""

from typing import Any

from lossmith.extras import extra
from lossmith.monitor.history import group
from lossmith.monitor.sinks import Opened
from lossmith.text import clean

BAR = 20  # cells of a bar
LEAST, FRAME = 4, 6  # rows of classes, those with the largest share of the gradient; lines around them and the bins
COLUMNS, KEYS = ("units", "gradient"), {"loss": "loss", "units": "share", "gradient": "gradient"}


class Table(Opened):
    """A live table in the terminal: loss, who supplies the gradient, how much is zero; needs ``rich``.

    Where the output is no terminal, such as a file, each record is one plain line.
    """

    def __init__(self, console: Any = None) -> None:
        self._console = console

    def start(self) -> Any:
        extra("rich", "tracking")
        from rich.console import Console
        from rich.live import Live

        console = self._console or Console(highlight=False)
        if not console.is_terminal:
            return console
        live = Live(console=console, auto_refresh=False)
        live.start()
        return live

    def write(self, step: int, numbers: dict[str, float]) -> None:
        where = self.opened()
        if hasattr(where, "update"):
            where.update(picture(step, numbers, where.console.height), refresh=True)
        else:
            where.print(line(step, numbers), markup=False, soft_wrap=True)

    def close(self) -> None:
        if hasattr(self._open, "stop"):
            self._open.stop()
        self._open = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_console": None}


def percent(x: float | None) -> str:
    """A share in a hundred; nothing where there is none.

    >>> percent(0.0312), percent(0.0), percent(0.0002), percent(1.0), percent(None)
    ('3.1 %', '0 %', '< 0.1 %', '100 %', '')
    """
    if x is None:
        return ""
    if 0 < x < 0.001:
        return "< 0.1 %"
    return f"{100 * x:.0f} %" if x in (0, 1) or x >= 0.9995 else f"{100 * x:.1f} %"


def summary(step: int, numbers: dict[str, float]) -> list[str]:
    """What a record says of the whole batch, in a few words each."""
    words = [f"step {step}", f"loss {numbers.get('loss', float('nan')):.4g}"]
    named = {"zero_gradient": "zero gradient", "ignored": "ignored", "positive_gradient": "positives' gradient"}
    words += [f"{text} {percent(numbers[name])}" for name, text in named.items() if name in numbers]
    if numbers.get("nonfinite"):
        words.append(f"NOT FINITE {numbers['nonfinite']:.0f} units")
    return words


def line(step: int, numbers: dict[str, float]) -> str:
    """A record in one line."""
    shares = sorted(group(numbers, "class_gradient").items(), key=lambda item: -item[1])[:5]
    words = summary(step, numbers)
    if shares:
        words.append("gradient " + ", ".join(f"{'class ' * name.isdigit()}{name} {percent(x)}" for name, x in shares))
    return "  ".join(words)


def picture(step: int, numbers: dict[str, float], height: int) -> Any:
    """A record as a table of so many lines: a row per class, and one per bin of difficulty, the hardest first."""
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    parts: list[Any] = [Text("   ".join(summary(step, numbers)), style="bold")]
    for what, title, columns in (("class", "class", ("loss", "units", "gradient")), ("bin", "|gradient|", COLUMNS)):
        of = {column: group(numbers, f"{what}_{KEYS[column]}") for column in columns}
        names = [*of["units"]]
        rows = max(LEAST, height - len(group(numbers, "bin_share")) - FRAME)
        if what == "bin":
            names.reverse()
        elif len(names) > rows:
            names = sorted(names, key=lambda name: -of["gradient"].get(name, 0.0))[: rows - 1]
        if not names:
            continue
        table = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(title, width=20, no_wrap=True)
        for column in columns:
            table.add_column(column, justify="right", no_wrap=True, min_width=8)
        table.add_column("", no_wrap=True)
        for name in names:
            cells = [_cell(column, of[column].get(name)) for column in columns]
            table.add_row(Text(clean(name)), *cells, Text(bar(of["gradient"].get(name, 0.0))))
        if len(of["units"]) > len(names):
            table.add_row(f"and {len(of['units']) - len(names)} more")
        parts += ["", table]
    return Group(*parts)


def _cell(column: str, x: float | None) -> str:
    return percent(x) if column != "loss" else "" if x is None else f"{x:.4g}"


def bar(x: float) -> str:
    """A bar of eighths, as long as a share of `BAR` cells.

    >>> bar(0.5), bar(0.0)
    ('██████████', '')
    """
    whole, rest = divmod(round(8 * BAR * x), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[rest].strip()
