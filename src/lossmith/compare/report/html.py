"""The report: one HTML file that opens offline, fetches nothing, and starts with the verdict.

Whatever comes from the user's table is text: the template escapes it, the figures escape it again for plotly, and a
content security policy lets the browser run the two scripts written here, known by their hashes, and nothing else.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lossmith.compare.problems.asked import Path as Where
from lossmith.compare.report import (
    curves,
    figures,
    gradients,
    panels,
    questions,
    regression,
    slices,
    summary,
    tables,
    tradeoff,
)
from lossmith.compare.report.figures import Figure, Style
from lossmith.compare.report.tables import labels
from lossmith.compare.verdict import wording
from lossmith.compare.verdict.judge import RULES, judge
from lossmith.compare.verdict.records import Runs
from lossmith.page import template
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
LONGEST_HEAD = 9  # characters, or classes, from which on the heads of a table of classes are turned
TASK: dict[str, Any] = {  # what a task without classes, or of an older folder, does not say
    "classes": [],
    "counts": [],
    "positive": None,
    "features": [],
    "dropped": [],
    "dropped_rows": 0,
    "encoded_width": None,
}
ARM: dict[str, Any] = {"weighting": "none", "adjust": False, "resampling": "none", "calibration": "none", "about": ""}


def render(results: dict[str, Any]) -> str:
    """The report of a comparison, complete or not, as the text of one HTML file."""
    snippet = (results.get("verdict") or judge(results))["snippet"]
    results = complete(results)
    runs = Runs(results)
    found, shown = drawn(runs, results), tabulated(runs, results)
    there = parts(runs, results, found, shown)
    script = (PAGE / "report.js").read_text(encoding="utf-8")
    return template(PAGE / "report.html", said=said, **FILTERS).render(
        **WORDS,
        results=results,
        runs=runs,
        verdict=results["verdict"],
        task=results["task"],
        chosen=results["verdict"]["recommended"],
        baseline=runs.baseline,
        spoken=runs.words.baseline,
        started=min((record["time"].get("started", "") for record in runs.records), default=""),
        finished=[arm for arm in runs.arms if runs.finished[arm["name"]]],
        numbers={arm["name"]: k for k, arm in enumerate(runs.arms)},
        asked=results["verdict"]["questions"],
        summary=summary.paragraph(results),
        drawn=found,
        figures=embedded({"figures": found, "config": CONFIG}),
        plotly=Markup(get_plotlyjs()),
        script=Markup(script),
        hashes=[script_hash(get_plotlyjs()), script_hash(script)],
        style=Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        snippet=snippet,
        there=there,
        sections=[(name, title) for name, title in contents(results) if there.get(name, True)],
        **shown,
    )


def complete(results: dict[str, Any]) -> dict[str, Any]:
    """The results with a verdict, with all that the page asks of a task and an arm, and with harmless texts."""
    verdict = results.get("verdict") or judge(results)
    arms = [ARM | {"grid": {}, "spec": arm["name"]} | arm for arm in results["arms"]]
    kind = {"kind": "multiclass"} | TASK | results["task"]
    found: dict[str, Any] = scrubbed({**results, "verdict": verdict, "arms": arms, "task": kind})
    return found


def tabulated(runs: Runs, results: dict[str, Any]) -> dict[str, Any]:
    """Every table by the name that the template gives it."""
    names = labels(results["task"]["classes"])
    order = [row["arm"] for row in results["verdict"]["table"]]
    arms = tables.compared(runs, results)
    return {
        "labels": names,
        "tall": max(map(len, names), default=0) > LONGEST_HEAD or len(names) >= LONGEST_HEAD,
        "failures": tables.failures(runs),
        "main": tables.board(runs, order, tables.main_columns(runs)),
        "rules": {rule: tables.board(runs, order, tables.rule_columns(runs, rule)) for rule in RULES},
        "costs": tables.costs(runs, order),
        "keys": figures.weighting_keys(runs, Style(runs)) if names else [],
        "confusions": tables.confusions(runs, results, arms),
        "mistakes": tables.mistakes(runs, results, arms),
        "per_class": tables.per_class(runs, names),
        "gradient": gradients.tables(runs, names),
        "slices": slices.tables(runs, {question["metric"] for question in results["verdict"]["questions"]}),
        "points": tradeoff.points(runs),
        "intervals": regression.intervals(runs),
        "level": regression.nominal(runs),
        "threshold_metric": curves.asked_metric(runs),
        "ece": {arm["name"]: questions.mean_of(runs, arm["name"], ("calibration", "ece"))["mean"] for arm in runs.arms},
    }


def parts(runs: Runs, results: dict[str, Any], found: dict[str, Figure], shown: dict[str, Any]) -> dict[str, bool]:
    """Which of the sections that may be left out are there; those that are not named always are."""
    prefixes = {figure.partition("-")[0] for figure in found}
    made = {
        "curves": "ranks" in prefixes,
        "thresholds": "threshold" in prefixes,
        "points": "points" in prefixes,
        "intervals": bool(shown["intervals"]),
        "by-class": bool(shown["per_class"]),
        "confusion": bool(shown["confusions"] or shown["mistakes"]),
        "slices": bool(shown["slices"]),
        "tradeoff": "tradeoff" in found,
        "calibration": "reliability" in prefixes,
        "gradient": bool(shown["gradient"]),
        "weighting": bool(shown["keys"]),
    }
    always = ("leaderboard", "learning", "times", *(f"question-{q['name']}" for q in results["verdict"]["questions"]))
    with_runs = {name: bool(runs.count) and there for name, there in (made | dict.fromkeys(always, True)).items()}
    return with_runs | {"snippet": bool(results["verdict"]["snippet"]), "failures": bool(shown["failures"])}


def contents(results: dict[str, Any]) -> list[tuple[str, str]]:
    """The sections in their order, as the page links to them."""
    asked = [(f"question-{q['name']}", questions.title(q)) for q in results["verdict"]["questions"]]
    return [
        ("leaderboard", "Leaderboard"),
        *asked,
        ("curves", "Curves"),
        ("thresholds", "Thresholds"),
        ("points", "Predictions"),
        ("intervals", "Intervals"),
        ("by-class", "By class"),
        ("confusion", "Confusion"),
        ("slices", "Slices"),
        ("tradeoff", "Trade-off"),
        ("calibration", "Calibration"),
        ("learning", "Learning curves"),
        ("gradient", "Gradient"),
        ("times", "Cost"),
        ("weighting", "Weighting"),
        ("snippet", "Python"),
        ("failures", "Failed runs"),
        ("arms", "Arms"),
        ("data", "Data"),
        ("settings", "Settings"),
        ("words", "Words"),
    ]


FILTERS: dict[str, Callable[..., Any]] = {
    "number": wording.number,
    "signed": wording.signed,
    "difference": wording.difference,
    "p": wording.p_value,
    "plural": wording.plural,
    "metric": questions.name,
    "capital": questions.capital,
}
WORDS = {
    "FEATURES_SHOWN": FEATURES_SHOWN,
    "FEWEST": panels.FEWEST,
    "heading": questions.heading,
    "title_of": questions.title,
    "why": questions.why,
}


def drawn(runs: Runs, results: dict[str, Any]) -> dict[str, Figure]:
    """Every figure by the id that the template gives it."""
    if not runs.count:
        return {}
    style, names = Style(runs), labels(results["task"]["classes"])
    found: dict[str, Figure] = {"time": figures.times(runs, style)}
    if names and figures.weighting_keys(runs, style):
        found["classes"] = figures.class_shares(runs, style, names)
    for question in results["verdict"]["questions"]:
        found[f"{question['name']}-values"] = figures.values(runs, style, paths(question), axis_title(question))
        found[f"{question['name']}-differences"] = figures.forest(style, question)
    span = panels.validation_span(runs)
    for k, arm in enumerate(runs.arms):
        if runs.finished[arm["name"]]:
            found[f"curve-{k}"] = panels.learning(runs, style, arm["name"], span)
            if arm["name"] in questions.holders(runs, "calibration", "bins"):
                found[f"reliability-{k}"] = panels.reliability(runs, style, arm["name"])
    more = (
        curves.drawn(runs, style),
        gradients.drawn(runs),
        tradeoff.drawn(runs, style),
        regression.drawn(runs, style),
    )
    return {name: figure for part in (found, *more) for name, figure in part.items()}


def paths(question: dict[str, Any]) -> list[tuple[str, Where]]:
    """What the figure of a question shows: its figure, by both rules where it is asked of the tuned one."""
    if question["rule"] != "tuned":
        return [("", questions.path(question))]
    return [(f", {rule} rule", questions.path(question, rule)) for rule in RULES]


def axis_title(question: dict[str, Any]) -> str:
    """The metric, and that less of it is better where it is so."""
    return questions.name(question["metric"]) + ("" if question["larger"] else " (left is better)")


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
