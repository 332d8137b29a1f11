"""The report: one HTML file that opens offline, fetches nothing, and starts with the verdict.

Whatever comes from the user's table is text: the template escapes it, the figures escape it again for plotly, and a
content security policy lets the browser run the two scripts written here, known by their hashes, and nothing else.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lossmith.compare.report import figures, panels
from lossmith.compare.report.figures import Figure, Style
from lossmith.compare.verdict import wording
from lossmith.compare.verdict.judge import RULES, judge
from lossmith.compare.verdict.records import BASELINE, Runs, dig, total
from lossmith.compare.verdict.records import Path as Where
from lossmith.text import clean

PAGE = Path(__file__).parent / "page"
LONGEST = 300  # characters of one text
CONFIG = {
    "displaylogo": False,
    "displayModeBar": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
}
FEATURES_SHOWN = 12
LONGEST_WHOLE = 22  # characters of a class's name that a table's head has room for
FEW_CLASSES = 12  # up to here every arm has its confusion matrices, and classes are columns
MOST_IN_MATRIX = 30  # classes
MOST_MISTAKES = 20


def render(results: dict[str, Any]) -> str:
    """The report of a comparison, complete or not, as the text of one HTML file."""
    verdict = results.get("verdict") or judge(results)
    snippet = verdict["snippet"]
    results = scrubbed({**results, "verdict": verdict})
    runs = Runs(results)
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    return page().render(
        results=results,
        runs=runs,
        verdict=results["verdict"],
        questions={question["name"]: question for question in results["verdict"]["questions"]},
        rows=results["verdict"]["table"],
        started=min((record["time"].get("started", "") for record in runs.records), default=""),
        finished=[arm for arm in runs.arms if runs.finished[arm["name"]]],
        keys=figures.weighting_keys(runs, Style(runs)),
        labels=labels(results["task"]["classes"]),
        confusions=confusions(runs, results["verdict"]),
        mistakes=mistakes(runs, results),
        per_class=per_class(runs, labels(results["task"]["classes"])),
        failures=failures(runs),
        snippet=snippet,
        figures=embedded({"figures": drawn(runs, results), "config": CONFIG}),
        plotly=Markup(get_plotlyjs()),
        script=Markup(script),
        hashes=[script_hash(get_plotlyjs()), script_hash(script)],
        style=Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        baseline=BASELINE,
    )


def page() -> Template:
    """The template with the few filters that print numbers."""
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": wording.number,
        "signed": wording.signed,
        "p": wording.p_value,
        "said": said,
    }
    environment.globals |= {
        "NAMES": wording.NAMES,
        "within": wording.within,
        "FEATURES_SHOWN": FEATURES_SHOWN,
        "FEWEST": panels.FEWEST,
        "best": best,
    }
    return environment.get_template("report.html")


def drawn(runs: Runs, results: dict[str, Any]) -> dict[str, Figure]:
    """Every figure by the id that the template gives it."""
    if not runs.count:
        return {}
    style, metric = Style(runs), runs.metric
    rules: list[tuple[str, Where]] = [(f", {rule} rule", ("decision", rule, metric)) for rule in RULES]
    found: dict[str, Figure] = {
        "rank-values": figures.values(runs, style, [("", ("ranking", "average_precision"))], "average precision"),
        "decide-values": figures.values(runs, style, rules, wording.NAMES[metric]),
        "time": figures.times(runs, style),
        "classes": figures.class_shares(runs, style, labels(results["task"]["classes"])),
    }
    for question in results["verdict"]["questions"]:
        found[f"{question['name']}-differences"] = figures.forest(style, question)
    span = panels.validation_span(runs)
    for k, arm in enumerate(runs.arms):
        if runs.finished[arm["name"]]:
            found[f"curve-{k}"] = panels.learning(runs, style, arm["name"], span)
            found[f"reliability-{k}"] = panels.reliability(runs, style, arm["name"])
    return found


def labels(names: list[str]) -> list[str]:
    """Names for the heads of a table; where some are too long to be shown whole, all with a number before them."""
    if max(map(len, names), default=0) <= LONGEST_WHOLE:
        return names
    return [f"{k} {name}" for k, name in enumerate(names, start=1)]


def confusions(runs: Runs, verdict: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Confusion matrices summed over the repeats, by arm and rule: of all arms, or of two where classes are many."""
    found = {arm: {rule: confusion(runs, arm, rule) for rule in RULES} for arm in compared(runs, verdict)}
    return found if all(len(matrix) <= MOST_IN_MATRIX for rules in found.values() for matrix in rules.values()) else {}


def compared(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """The arms whose mistakes are shown."""
    finished = [arm for arm, found in runs.finished.items() if found]
    if not finished or len(next(iter(runs.finished[finished[0]].values()))["counts"]["train"]) <= FEW_CLASSES:
        return finished
    chosen = verdict["recommended"] or {"arm": BASELINE}
    return [arm for arm in finished if arm in (BASELINE, chosen["arm"])]


def confusion(runs: Runs, arm: str, rule: str) -> list[list[tuple[int, float]]]:
    """Every cell as its count and its share of the row."""
    counts = total([dig(record, ("decision", rule, "confusion")) for record in runs.finished[arm].values()])
    return [[(count, count / max(sum(row), 1)) for count in row] for row in counts]


def mistakes(runs: Runs, results: dict[str, Any]) -> dict[str, list[tuple[str, str, int, float]]]:
    """Where there are too many classes for a matrix: the most frequent mistakes under the tuned rule."""
    names = results["task"]["classes"]
    if len(names) <= MOST_IN_MATRIX:
        return {}
    found = {}
    for arm in compared(runs, results["verdict"]):
        cells = [
            (names[true], names[decided], *cell)
            for true, row in enumerate(confusion(runs, arm, "tuned"))
            for decided, cell in enumerate(row)
            if true != decided and cell[0]
        ]
        found[arm] = sorted(cells, key=lambda cell: -cell[2])[:MOST_MISTAKES]
    return found


def per_class(runs: Runs, classes: list[str]) -> dict[str, dict[str, Any]]:
    """Recall and precision of every class, by rule: the mean over the repeats that define them, as a table."""
    return {
        metric: {rule: class_table(runs, classes, rule, metric) for rule in RULES} for metric in ("recall", "precision")
    }


def class_table(runs: Runs, classes: list[str], rule: str, metric: str) -> dict[str, Any]:
    """Arms by classes, or the other way round where there are many classes."""
    arms = [arm for arm, found in runs.finished.items() if found]
    rows = [class_means(runs, arm, rule, metric) for arm in arms]
    titles = [runs.title(arm) for arm in arms]
    if len(classes) <= FEW_CLASSES:
        return {"columns": classes, "rows": list(zip(titles, rows, strict=True))}
    return {"columns": labels(titles), "rows": list(zip(classes, zip(*rows, strict=True), strict=True))}


def failures(runs: Runs) -> list[tuple[str, str, str, list[int]]]:
    """What went wrong: arm, status, reason, and in which repeats."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for record in runs.failures:
        key = (str(record["arm"]), str(record["status"]), said(record["reason"]))
        found.setdefault(key, []).append(int(record["repeat"]) + 1)
    return [(*key, repeats) for key, repeats in found.items()]


def class_means(runs: Runs, arm: str, rule: str, metric: str) -> list[float | None]:
    """One value per class."""
    columns = zip(*(dig(record, ("decision", rule, metric)) for record in runs.finished[arm].values()), strict=True)
    known = [[value for value in column if value is not None] for column in columns]
    return [sum(values) / len(values) if values else None for values in known]


def best(rows: list[dict[str, Any]], path: list[str], less: bool = False) -> float | None:
    """The best mean in a column of the leaderboard."""
    means = [dig(row, (*path, "mean")) for row in rows]
    known = [mean for mean in means if mean is not None]
    return (min if less else max)(known) if known else None


def said(value: Any) -> str:
    """A setting as a person would write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(said(item) for item in value) or "none"
        case dict():
            return ", ".join(f"{key} = {said(item)}" for key, item in value.items()) or "none"
    return str(value)


def scrubbed(value: Any) -> Any:
    """The same data with control and direction-changing characters gone from every text in it."""
    if isinstance(value, str):
        return clean(value, LONGEST)
    if isinstance(value, dict):
        return {scrubbed(key): scrubbed(item) for key, item in value.items()}
    return [scrubbed(item) for item in value] if isinstance(value, list | tuple) else value


def embedded(data: Any) -> Markup:
    """JSON that is safe inside a script element: no <, >, & or line separator is left in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII, so U+2028 and U+2029 are escaped already
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def script_hash(script: str) -> str:
    """The name by which a content security policy knows an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
