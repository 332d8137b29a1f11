"""A bench as one offline HTML page, as Markdown and as JSON, each file written whole or not at all."""

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from lossmith.compare.many import diagram
from lossmith.compare.many.wording import gain_of
from lossmith.compare.report.html import PAGE as SHARED
from lossmith.compare.report.html import said, scrubbed
from lossmith.compare.runs.store import StoreError
from lossmith.compare.verdict.wording import NAMES, number, p_value, signed
from lossmith.files import write_text
from lossmith.page import template
from lossmith.text import clean

PAGE = Path(__file__).parent / "page" / "bench.html"
LONGEST_SENTENCE = 2000
RESULTS = {"better": "better", "worse": "worse", "unclear": "no sure difference", "untested": "too few to say"}
HEADS = ("arm", "average rank", "median", "95 % interval", "signs + = -", "own tests + ? -", "p (Holm)", "verdict")

Question = dict[str, Any]


def write(folder: Path, results: dict[str, Any]) -> None:
    """The three files of a bench, or one sentence why they cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "bench.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
        write_text(folder / "bench.md", markdown(results))
        write_text(folder / "bench.html", page(results))
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"the folder {clean(folder, 200)} cannot be written: {reason}.") from error


def page(results: dict[str, Any]) -> str:
    """The page as the text of one HTML file: no script in it, nothing fetched, every name escaped."""
    words = {"NAMES": NAMES, "RESULTS": RESULTS, "HEADS": HEADS, "rows": rows, "cells": cells}
    tidy = scrubbed(results)
    return template(PAGE, number=number, signed=signed, p=p_value, said=said).render(
        **words,
        results=tidy,
        verdict=tidy["verdict"],
        headline=results["verdict"]["headline"],
        sentences=[clean(sentence, LONGEST_SENTENCE) for sentence in results["verdict"]["sentences"]],
        ranks={q["name"]: Markup(diagram.ranks(q)) for q in tidy["verdict"]["questions"]},
        differences={q["name"]: Markup(diagram.differences(q)) for q in tidy["verdict"]["questions"]},
        style=Markup((SHARED / "report.css").read_text(encoding="utf-8")),
    )


def rows(question: Question) -> list[dict[str, Any]]:
    """The comparisons of a question, the largest gain first, with the average rank of each."""
    found = [{**entry, "rank": rank_of(question, entry)} for entry in question["comparisons"]]
    return sorted(found, key=lambda entry: -gain_of(entry, question) if entry["n"] else float("inf"))


def rank_of(question: Question, entry: dict[str, Any]) -> float | None:
    """The average rank of an arm with its rule; None where it stays out of the ranks."""
    places = zip(question["ranks"]["entrants"], question["ranks"]["average"], strict=True)
    who = (entry["arm"], entry["rule"])
    return next((a for k, a in places if tuple(question["entrants"][k][key] for key in ("arm", "rule")) == who), None)


def cells(entry: dict[str, Any]) -> list[str]:
    """One row of a table of comparisons after the arm's title, in the order of `HEADS`."""
    signs, wins = entry["signs"], entry["wins"]
    interval = "-" if entry["low"] is None else f"{signed(entry['low'])} to {signed(entry['high'])}"
    tested = sum(wins[result] for result in ("better", "unclear", "worse"))
    return [
        number(entry["rank"], 2),
        signed(entry["median"]),
        interval,
        f"{signs['better']} {signs['equal']} {signs['worse']}",
        f"{wins['better']} {wins['unclear']} {wins['worse']}" if tested else "-",
        p_value(entry["p_holm"]).removeprefix("= "),
        RESULTS[entry["result"]] if entry["n"] else "no figures",
    ]


def markdown(results: dict[str, Any]) -> str:
    """The verdict and the tables as Markdown."""
    verdict = scrubbed(results["verdict"])
    parts = [f"# {plain(results['verdict']['headline'])}", ""]
    parts += [f"- {plain(sentence)}" for sentence in results["verdict"]["sentences"]]
    for question in verdict["questions"]:
        metric = f"{NAMES[question['metric']]}, {'larger' if question['larger'] else 'smaller'} is better"
        parts += ["", f"## {question['start']} ({metric}; {len(question['datasets'])} data sets)", ""]
        parts += table(HEADS, [[entry["title"], *cells(entry)] for entry in rows(question)])
    parts += ["", "## Data sets", ""]
    heads = ("name", "rows", "features", "classes", "rarest", "what its own comparison says")
    return "\n".join([*parts, *table(heads, [facts(one) for one in scrubbed(results["datasets"])])]) + "\n"


def facts(one: dict[str, Any]) -> list[str]:
    """A data set in a row of a table."""
    rarest = "-" if one.get("rarest") is None else f"{100 * one['rarest']:.1f} %"
    counts = [f"{one[key]:,}" if key in one else "-" for key in ("rows", "features", "classes")]
    return [one["name"], *counts, rarest, one["said"]]


def table(heads: tuple[str, ...], body: list[list[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [list(heads), ["---"] * len(heads), *body]
    return ["| " + " | ".join(cell if cell == "---" else plain(cell) for cell in line) + " |" for line in lines]


def plain(words: str) -> str:
    """Text that Markdown shows as it is: no markup, no link and no end of a cell in it.

    >>> plain("a|b <i>_c_")
    'a\\\\|b \\\\<i\\\\>\\\\_c\\\\_'
    """
    return "".join(f"\\{letter}" if letter in "\\|`*_[]<>#" else letter for letter in clean(words, LONGEST_SENTENCE))
