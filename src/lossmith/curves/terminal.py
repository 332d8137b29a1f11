"""A fit in a terminal: what was fitted, the parameters, the figures, and what has to be known about them."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.curves.table import Fitting
from lossmith.text import clean

ACROSS, ACROSS_WITH_INTERVALS = 4, 3  # losses side by side
FIGURES = {"value": "mean loss", "mae": "MAE", "rmse": "RMSE", "median": "median |error|"}
LONGEST = 30


def show(fitting: Fitting) -> None:
    """Print it; a user's names are printed as they are, never as markup."""
    console = Console(highlight=False)
    results = fitting.results
    console.print(Text("\n".join(about(results))))
    losses = list(results["losses"])
    plain = all(found["intervals"] is None for found in results["losses"].values())
    some = ACROSS if plain else ACROSS_WITH_INTERVALS
    for first in range(0, len(losses), some):
        console.print(parameters(results, losses[first : first + some]))
    console.print(figures(results))
    for line in remarks(results):
        console.print(Text(line))


def about(results: dict[str, Any]) -> list[str]:
    """What was fitted, as lines."""
    weight = f", weight {clean(results['weight'])}" if results["weight"] else ""
    columns = f"x {', '.join(map(clean, results['x']))}, y {clean(results['y'])}{weight}"
    lines = [f"{clean(results['source'])}: {results['rows']:,} rows, {columns}"]
    if results["left_out"]:
        rows = "1 row" if results["left_out"] == 1 else f"{results['left_out']:,} rows"
        lines.append(f"Left out: {rows} with missing values")
    return [*lines, f"Model: {clean(results['expression'], 300)}"]


def parameters(results: dict[str, Any], losses: list[str]) -> Table:
    """The parameters of some losses, side by side, intervals below them."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("parameter")
    for loss in losses:
        table.add_column(Text(clean(loss, LONGEST)), justify="right")
    for name in results["losses"][losses[0]]["parameters"]:
        cells = []
        for found in (results["losses"][loss] for loss in losses):
            cell = number(found["parameters"][name])
            if found["intervals"] is not None:
                low, high = found["intervals"][name]
                cell += f"\n{low:.4g} to {high:.4g}"
            cells.append(Text(cell))
        table.add_row(Text(clean(name, LONGEST)), *cells)
    return table


def figures(results: dict[str, Any]) -> Table:
    """What each loss came to, and what its curve misses."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("loss")
    for title in FIGURES.values():
        table.add_column(title, justify="right")
    for loss, found in results["losses"].items():
        mark = "" if found["converged"] else " (!)"
        table.add_row(Text(clean(loss, LONGEST) + mark), *(number(found[name]) for name in FIGURES))
    return table


def remarks(results: dict[str, Any]) -> list[str]:
    """Everything that numbers alone would hide."""
    lines = [
        f"(!) {clean(loss, LONGEST)} {found['message']}"
        for loss, found in results["losses"].items()
        if not found["converged"]
    ]
    lines += [f"No curve: {clean(loss, LONGEST)}: {clean(why, 500)}" for loss, why in results["failures"].items()]
    lines += [line for line in (band(results), outlying(results)) if line]
    ways = {clean(loss, LONGEST): found["message"] for loss, found in results["losses"].items() if found["converged"]}
    searched = [f"{loss}: {way}" for loss, way in ways.items() if not way.startswith("exact")]
    lines += [f"Found by a search: {'; '.join(searched)}"] if searched else []
    return [*lines, *(f"Note: {clean(note, 500)}" for note in results["notes"])]


def band(results: dict[str, Any]) -> str:
    """What lies between the lowest and the highest quantile."""
    found = results["band"]
    if found is None:
        return ""
    crossed = f"they cross in {found['crossed']:,} of the rows" if found["crossed"] else "no curves cross"
    inside = f"{found['coverage']:.1%} of the rows, {found['expected']:.1%} expected"
    return f"Between the {found['low']:g} and {found['high']:g} quantiles: {inside}; {crossed}"


def outlying(results: dict[str, Any]) -> str:
    """How many rows a robust curve misses widely, and what they do to least squares."""
    found = results["outliers"]
    if found is None:
        return ""
    count = f"{found['rows']:,} rows are" if found["rows"] != 1 else "1 row is"
    where = f"{count} more than 3 robust standard deviations (of {found['scale']:.4g}) from Huber's curve"
    moved = f"least squares differs from it by {found['moved_mean']:.4g} on average, {found['moved_most']:.4g} at most"
    return f"Outliers: {where}; {moved}"


def brief(fitting: Fitting) -> str:
    """The parameters alone, a line for each loss."""
    lines = []
    for loss, found in fitting.results["losses"].items():
        values = ", ".join(f"{clean(name)} = {number(value)}" for name, value in found["parameters"].items())
        lines.append(f"{clean(loss)}: {values}" + ("" if found["converged"] else " (did not converge)"))
    return "\n".join(lines)


def number(value: float) -> str:
    """With the digits that a terminal has room for.

    >>> number(1234.56789), number(1.23456789e-7)
    ('1234.57', '1.23457e-07')
    """
    return f"{value:.6g}"
