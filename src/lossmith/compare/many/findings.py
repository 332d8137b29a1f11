"""What one comparison gives to a bench: a figure per question and entrant, and what it showed by itself.

An entrant is an arm with the rule it decides by. Beside the questions of a verdict a bench asks one more where there
are rules: does any loss, left at its default rule, decide better than the baseline with a tuned one? That is whether
changing the loss can replace tuning the rule.
"""

from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from lossmith.compare.problems.asked import Asked, Path, questions
from lossmith.compare.verdict.inference import LEVEL, holm, paired
from lossmith.compare.verdict.records import Runs

Entrant = tuple[str, str | None]

TUNED, DEFAULT = "tuned", "default"
INSTEAD = "instead"
ENOUGH = 0.5  # of the baseline's repeats; an arm that finished fewer is missing on that data set


@dataclass(frozen=True)
class Finding:
    """One data set: its questions, the titles of its arms, means over repeats, and results within the data set.

    ``means`` and ``results`` go from the name of a question to its entrants; ``results`` holds "better", "worse",
    "unclear" or "untested" after Holm's correction within the data set.
    """

    asked: tuple[Asked, ...]
    baseline: str
    titles: dict[str, str]
    means: dict[str, dict[Entrant, float]]
    results: dict[str, dict[Entrant, str]]

    @property
    def metrics(self) -> tuple[tuple[str, str], ...]:
        """What was asked, by which data sets can be told apart that cannot be judged together."""
        return tuple((asked.name, asked.metric) for asked in self.asked)


def finding(results: dict[str, Any]) -> Finding:
    """What a comparison has found, from its results with their verdict."""
    runs = Runs(results)
    baseline = str(results["verdict"]["questions"][0]["baseline"])
    asked = all_asked(results["task"]["kind"], results["settings"]["metric"])
    arms = [arm["name"] for arm in runs.arms]
    return Finding(
        asked,
        baseline,
        {arm: runs.title(arm) for arm in arms},
        {one.name: means(runs, one, entrants(one, arms, baseline)) for one in asked},
        {one.name: within(runs, results["verdict"], one, arms, baseline) for one in asked},
    )


def all_asked(kind: str, metric: str) -> tuple[Asked, ...]:
    """The questions of a verdict, and that of the default rules.

    >>> [one.name for one in all_asked("binary", "macro_f1")]
    ['rank', 'decide', 'instead', 'trust']
    """
    found: list[Asked] = []
    for one in questions(kind, metric):
        found.append(one)
        if one.rule == TUNED:
            start = "Changing the loss instead of tuning the rule"
            found.append(replace(one, name=INSTEAD, start=start, decisive=False))
    return tuple(found)


def reference(asked: Asked, baseline: str) -> Entrant:
    """What all entrants of a question are compared with."""
    return baseline, asked.rule


def entrants(asked: Asked, arms: list[str], baseline: str) -> list[Entrant]:
    """Everything that takes part in a question, the reference first.

    Where rules are tuned, the baseline at its default rule is an entrant of its own.
    """
    rule = DEFAULT if asked.name == INSTEAD else asked.rule
    plain: list[Entrant] = [(baseline, DEFAULT)] if asked.rule == TUNED else []
    return [reference(asked, baseline), *plain, *((arm, rule) for arm in arms if arm != baseline)]


def place(asked: Asked, entrant: Entrant) -> Path:
    """Where the figure of an entrant is in a record."""
    return tuple(str(entrant[1]) if part == asked.rule else part for part in asked.path)


def means(runs: Runs, asked: Asked, found: list[Entrant]) -> dict[Entrant, float]:
    """The mean of every entrant over the repeats that all have in common; nothing of who has too few repeats."""
    figures = {entrant: runs.figures(entrant[0], place(asked, entrant)) for entrant in found}
    needed = max(1.0, ENOUGH * len(figures[found[0]]))
    there = {entrant: by_repeat for entrant, by_repeat in figures.items() if len(by_repeat) >= needed}
    common = reduce(set.intersection, (set(by_repeat) for by_repeat in there.values())) if there else set()
    if not common or found[0] not in there:
        return {}
    return {entrant: float(np.mean([by_repeat[k] for k in sorted(common)])) for entrant, by_repeat in there.items()}


def within(runs: Runs, verdict: dict[str, Any], asked: Asked, arms: list[str], baseline: str) -> dict[Entrant, str]:
    """What the repeats of one data set show of every entrant: as its verdict says, or by the same test."""
    for question in verdict["questions"]:
        if question["name"] == asked.name:
            return {(c["arm"], c["rule"]): c["result"] for c in question["comparisons"] if c["n"]}
    against, *others = entrants(asked, arms, baseline)
    start = (against[0], place(asked, against))
    differences = {one: list(runs.differences((one[0], place(asked, one)), start).values()) for one in others}
    tests = {one: paired(values, runs.ratio) for one, values in differences.items() if values}
    adjusted = holm([test["p"] for test in tests.values()])
    return {one: word(p, test["mean"], asked.larger) for (one, test), p in zip(tests.items(), adjusted, strict=True)}


def word(p: float | None, difference: float | None, larger: bool) -> str:
    """In one word what a test shows.

    >>> word(0.01, -0.2, larger=False), word(0.2, 0.1, larger=True), word(None, 0.1, larger=True)
    ('better', 'unclear', 'untested')
    """
    if p is None or difference is None:
        return "untested"
    if p >= LEVEL:
        return "unclear"
    return "better" if (difference > 0) == larger else "worse"
