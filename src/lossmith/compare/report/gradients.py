"""Where the gradient of every arm comes from: from which class, and from how difficult rows."""

from typing import Any

from lossmith.compare.report.figures import Figure, Trace, plain, rounded, rows_figure
from lossmith.compare.report.questions import holders
from lossmith.compare.report.tables import crossed, means_over
from lossmith.compare.verdict.records import Runs

DEEP = (8, 48, 107)  # the colour of the hardest rows; easier ones are paler
PALE = (222, 235, 247)
BINS = [f"{k / 10:g} to {(k + 1) / 10:g}" for k in range(10)]


def means(runs: Runs, kind: str) -> dict[str, list[float | None]]:
    """The shares of an arm's gradient, mean over its repeats."""
    found = {arm: runs.finished[arm].values() for arm in holders(runs, "gradient", kind)}
    return {arm: means_over((record.get("gradient") or {}).get(kind) for record in of) for arm, of in found.items()}


def tables(runs: Runs, classes: list[str]) -> dict[str, Any]:
    """The shares by class and by difficulty as tables; empty where no record has any."""
    by_class, by_bin = means(runs, "classes"), means(runs, "bins")
    found = {}
    if by_class and classes and all(len(row) == len(classes) for row in by_class.values()):
        found["classes"] = crossed(runs, classes, by_class)
    if by_bin and all(len(row) == len(BINS) for row in by_bin.values()):
        found["bins"] = crossed(runs, BINS, by_bin)
    return found


def drawn(runs: Runs) -> dict[str, Figure]:
    """One bar per arm: the gradient's size by how difficult the rows are that it comes from."""
    by_bin = {arm: row for arm, row in means(runs, "bins").items() if len(row) == len(BINS)}
    if not by_bin:
        return {}
    titles = [runs.title(arm) for arm in by_bin]
    data = [segment(k, [100 * (row[k] or 0.0) for row in by_bin.values()], titles) for k in range(len(BINS))]
    figure = rows_figure(titles, "% of the gradient, from easy rows (pale) to difficult ones (dark)", data)
    figure["layout"] |= {"barmode": "stack"}
    figure["layout"]["xaxis"] |= {"range": [0, 100.5]}
    return {"gradient": figure}


def segment(k: int, percent: list[float], titles: list[str]) -> Trace:
    """The part of every bar that one tenth of difficulty supplies."""
    part = k / (len(BINS) - 1)
    red, green, blue = (round(pale + part * (deep - pale)) for pale, deep in zip(PALE, DEEP, strict=True))
    return {
        "type": "bar",
        "orientation": "h",
        "x": rounded(percent),
        "y": list(range(len(percent))),
        "width": 0.6,
        "marker": {"color": f"rgb({red},{green},{blue})", "line": {"color": "#ffffff", "width": 0.5}},
        "hoverinfo": "text",
        "hovertext": [
            f"{plain(title)}: {share:.1f} % from rows with 1 - p of {BINS[k]}"
            for title, share in zip(titles, percent, strict=True)
        ],
        "textposition": "none",
    }
