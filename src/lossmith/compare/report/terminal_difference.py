"""The difference between two comparisons in a terminal of 80 columns."""

from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossmith.compare.report import questions
from lossmith.compare.report.html import said
from lossmith.compare.report.terminal import short
from lossmith.compare.verdict.wording import difference, measured, p_value, shown
from lossmith.text import clean

LONGEST = 200  # characters of one value


def show(found: dict[str, Any], folders: tuple[Path, Path]) -> None:
    """Print it; a user's names are printed as they are, never as markup."""
    console = Console(highlight=False)
    for number, folder, headline in zip((1, 2), folders, found["headlines"], strict=True):
        console.print(Text(f"{number}: {clean(folder, LONGEST)}", style="bold"), soft_wrap=True)
        console.print(Text(clean(headline, 1000)))
    console.print()
    for line in lines(found):
        console.print(Text(line))
    for question in found["questions"]:
        console.print(changes(question, found["why"]))
    if found["seconds"]:
        console.print(times(found["seconds"]))


def lines(found: dict[str, Any]) -> list[str]:
    """What differs, one line for each thing."""
    told = [
        f"{part}: {clean(name).replace('_', ' ')}: {value(name, before)} -> {value(name, after)}"
        for part in ("data", "settings", "versions")
        for name, (before, after) in found[part].items()
    ]
    arms = found["arms"]
    told += [f"arms: only in 1: {clean(name)}" for name in arms["only_first"]]
    told += [f"arms: only in 2: {clean(name)}" for name in arms["only_second"]]
    told += [
        f"arms: {clean(name)}: {key}: {value(key, before)} -> {value(key, after)}"
        for name, pairs in arms["changed"].items()
        for key, (before, after) in pairs.items()
    ]
    if found["failed"][0] != found["failed"][1]:
        told.append(f"runs that failed: {found['failed'][0]} -> {found['failed'][1]}")
    return told or ["The same data, settings, versions and arms."]


def value(name: str, given: Any) -> str:
    """A setting as a person would write it; of a digest its beginning."""
    return clean(said(given), 12 if name == "digest" else LONGEST)


def changes(question: dict[str, Any], why: str) -> Table:
    """How a figure of every arm has changed."""
    metric = question["metric"]
    less = "" if question["larger"] else ", less is better"
    what = f"{questions.capital(questions.name(metric))}{less}; 2 minus 1, {why}."
    caption = f"{what} p: after Holm; unclear: it may be chance."
    table = plain_table(caption, ("1", "2", "change", "95 % interval", "p"))
    table.add_column("")
    for entry in question["changes"]:
        ends = [difference(entry[end], metric) for end in ("low", "high")]
        table.add_row(
            Text(short(entry["title"])),
            shown(entry["before"], metric),
            shown(entry["after"], metric),
            difference(entry["mean"], metric),
            "-" if entry["low"] is None else " to ".join(ends),
            "-" if entry["p_holm"] is None else p_value(entry["p_holm"]).removeprefix("= "),
            entry["result"],
        )
    return table


def times(seconds: list[dict[str, Any]]) -> Table:
    """Training time of a run."""
    table = plain_table("Seconds of training per run.", ("1", "2", "times"))
    for entry in seconds:
        ratio = "-" if entry["times"] is None else f"{entry['times']:.2f}"
        before, after = (measured(entry[end]) for end in ("before", "after"))
        table.add_row(Text(short(entry["title"])), before, after, ratio)
    return table


def plain_table(caption: str, titles: tuple[str, ...]) -> Table:
    """A table of arms with a caption."""
    table = Table(box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), caption=Text(caption), caption_justify="left")
    table.add_column("loss")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    return table
