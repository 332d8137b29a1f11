"""The verdict as Markdown, for an issue, a wiki or a pull request; names of a user's table are plain text in it."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lossmith.compare.report import questions, summary, tables
from lossmith.compare.report.html import complete, said
from lossmith.compare.verdict.records import Runs
from lossmith.compare.verdict.wording import difference, p_value, signed
from lossmith.text import clean

LONGEST = 200  # characters of one name
LONGEST_SENTENCE = 1500
SPECIAL = re.compile(r"([\\`*_\[\]<>|~$&#!])")
LINKS = re.compile(r"(?<=:)(?=//)|(?i:(?<=www)(?=\.))")  # GitHub makes links of these by itself
RESULTS = {"unclear": "no sure difference", "untested": "too few repeats to say", "no runs": "no finished pair"}


def markdown(results: dict[str, Any]) -> str:
    """The report of a comparison, complete or not, as Markdown.

    The headline and its sentences come first, then the leaderboard, each question's comparisons, failures and settings.
    """
    results = complete(results)
    runs, verdict = Runs(results), results["verdict"]
    parts = [
        f"# Which loss for {escaped(results['task']['target'])}? {escaped(results['task']['source'])}",
        " ".join(prose(sentence) for sentence in summary.paragraph(results)),
        f"**{prose(verdict['headline'])}**",
        "\n".join(f"- {prose(sentence)}" for sentence in verdict["sentences"]),
    ]
    if runs.count:
        parts += ["## Leaderboard", leaderboard(runs, verdict), *asked(runs, verdict)]
    if runs.failures:
        parts += ["## Runs that did not finish", failures(runs)]
    parts += ["## Settings and versions", pairs(results["settings"]), pairs(results["environment"])]
    return "\n\n".join(part for part in parts if part) + f"\n\nlossmith {escaped(results['version'])}\n"


def leaderboard(runs: Runs, verdict: dict[str, Any]) -> str:
    """The main figures of every arm: the mean over repeats and its 95 % interval."""
    board = tables.board(runs, [row["arm"] for row in verdict["table"]], tables.main_columns(runs))
    groups = [group for group, size in board["groups"].items() for _ in range(size)]
    heads = [f"{title}, {group[:1].lower()}{group[1:]}" for title, group in zip(board["titles"], groups, strict=True)]
    rows = [[tagged(runs, verdict, arm), *(told(cell) for cell in cells)] for arm, cells in board["rows"]]
    note = "Means over repeats on test rows with 95 % intervals; the best mean of a column is bold."
    return f"{note}\n\n{table(['Arm', *(escaped(head) for head in heads)], rows)}"


def tagged(runs: Runs, verdict: dict[str, Any], arm: str) -> str:
    """An arm's title, and whether it is the baseline or to be used."""
    chosen = verdict["recommended"]
    tags = [
        word
        for word, there in (
            ("use this", bool(chosen) and chosen["arm"] == arm),
            ("baseline", arm == runs.baseline),
        )
        if there
    ]
    return escaped(runs.title(arm)) + (f" ({', '.join(tags)})" if tags else "")


def told(cell: dict[str, Any]) -> str:
    """A figure with its interval."""
    text = f"**{cell['text']}**" if cell["best"] else cell["text"]
    return f"{text} ({cell['ends']})" if cell["ends"] else str(text)


def asked(runs: Runs, verdict: dict[str, Any]) -> Iterable[str]:
    """Every question with its answer and its comparisons."""
    for question in verdict["questions"]:
        metric = question["metric"]
        rows = [
            [
                escaped(c["title"]) + (", default rule" if c["arm"] == question["baseline"] else ""),
                difference(c["mean"], metric),
                "-" if c["low"] is None else " to ".join(difference(c[e], metric) for e in ("low", "high")),
                signed(c["effect"], 2),
                p_value(c["p_holm"]).removeprefix("= ").replace("<", "&lt;"),
                f"{c['n']} of {c['repeats']}",
                RESULTS.get(c["result"], c["result"]),
            ]
            for c in question["comparisons"]
        ]
        yield f"## {escaped(questions.heading(runs, question))}"
        yield prose(question["answer"])
        less = "" if question["larger"] else ", less is better"
        heads = ["Arm", f"Difference in {questions.name(metric)}{less}", "95 % interval", "Effect size"]
        yield table([escaped(head) for head in [*heads, "p (Holm)", "Pairs", "Verdict"]], rows)


def failures(runs: Runs) -> str:
    """What went wrong, and where."""
    rows = [
        [escaped(runs.title(arm)), said(repeats), escaped(status), escaped(reason)]
        for arm, status, reason, repeats in tables.failures(runs)
    ]
    return table(["Arm", "Repeats", "What happened", "Reason"], rows)


def pairs(data: dict[str, Any]) -> str:
    """Names and values as a table."""
    return table(["Name", "Value"], [[escaped(key.replace("_", " ")), escaped(said(data[key]))] for key in data])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of GitHub's Markdown; its cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def escaped(text: object, longest: int = LONGEST) -> str:
    """Text that Markdown shows as it is: no character of it is markup, HTML, a link or the end of a table's cell.

    >>> print(escaped("a|b <i>[x](http://y)</i>"))
    a\\|b \\<i\\>\\[x\\](http:\\//y)\\</i\\>
    """
    return LINKS.sub(r"\\", SPECIAL.sub(r"\\\1", clean(text, longest)))


def prose(text: str) -> str:
    """A sentence of the verdict, in which names of a user may stand."""
    return escaped(text, LONGEST_SENTENCE)
