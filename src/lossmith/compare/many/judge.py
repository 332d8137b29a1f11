"""What many data sets say together: ranks and tests for every question, and what to use.

Every question is a matrix data sets x entrants of means over repeats. Friedman's test and Nemenyi's critical
difference look at all entrants at once; Wilcoxon's test, corrected by Holm, compares each with the baseline.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossmith.compare.many import statistics, wording
from lossmith.compare.many.findings import Entrant, Finding, entrants, word
from lossmith.compare.many.statistics import Floats
from lossmith.compare.problems.asked import Asked
from lossmith.compare.verdict.inference import holm

Question = dict[str, Any]

WIDESPREAD = 0.5  # an entrant that is there on fewer of the data sets stays out of the ranks, or it would empty them
RESULTS = ("better", "unclear", "worse", "untested")


def judge(findings: Mapping[str, Finding], facts: dict[str, Any]) -> dict[str, Any]:
    """Questions, headline and sentences; ``facts`` says what else the sentences need (see `wording`)."""
    asked = next(iter(findings.values())).asked if findings else ()
    verdict: dict[str, Any] = {
        "fewest": statistics.FEWEST,
        "judged": len(findings),
        **facts,
        "questions": [question(one, findings) for one in asked],
    }
    verdict["headline"] = wording.headline(verdict)
    verdict["sentences"] = wording.sentences(verdict)
    return verdict


def together(findings: Mapping[str, Finding]) -> tuple[dict[str, Finding], list[str]]:
    """The data sets that ask the most frequent questions, and the names of the others."""
    most = Counter(one.metrics for one in findings.values()).most_common(1)
    same = {name: one for name, one in findings.items() if one.metrics == most[0][0]}
    return same, [name for name in findings if name not in same]


def question(asked: Asked, findings: Mapping[str, Finding]) -> Question:
    """One question over all data sets."""
    arms = list(dict.fromkeys(arm for one in findings.values() for arm in one.titles))
    titles = {arm: title for one in findings.values() for arm, title in one.titles.items()}
    baseline = next(iter(findings.values())).baseline
    found = entrants(asked, arms, baseline)
    names = [name for name, one in findings.items() if one.means[asked.name]]
    matrix = np.array([[findings[name].means[asked.name].get(entrant, np.nan) for entrant in found] for name in names])
    matrix = matrix.reshape(len(names), len(found))
    labels = [label(titles[arm], rule, asked.rule) for arm, rule in found]
    return {
        "name": asked.name,
        "start": asked.start,
        "does": asked.does,
        "fails": asked.fails,
        "decisive": asked.decisive,
        "metric": asked.metric,
        "larger": asked.larger,
        "baseline": baseline,
        "rule": asked.rule,
        "entrants": [
            {"arm": arm, "rule": rule, "title": title} for (arm, rule), title in zip(found, labels, strict=True)
        ],
        "datasets": names,
        "values": [[None if np.isnan(value) else float(value) for value in row] for row in matrix],
        "ranks": ranked(matrix, names, asked.larger),
        "comparisons": compared(asked, found, labels, matrix, [findings[name] for name in names]),
    }


def label(title: str, rule: str | None, usual: str | None) -> str:
    """An entrant's name: its rule is told where it is not the one that the question is about.

    >>> label("Focal", "tuned", "tuned"), label("Focal", "default", "tuned")
    ('Focal', 'Focal, default rule')
    """
    return title if rule == usual else f"{title}, {rule} rule"


def ranked(matrix: Floats, names: list[str], larger: bool) -> dict[str, Any]:
    """Average ranks with Friedman's test and Nemenyi's difference, over the data sets that have all these entrants."""
    there = ~np.isnan(matrix)
    taking = np.flatnonzero(there.mean(axis=0) >= WIDESPREAD) if len(matrix) else np.arange(0)
    whole: NDArray[np.bool_] = np.all(there[:, taking], axis=1)
    ranks = statistics.ranks(matrix[whole][:, taking], larger) if whole.any() and len(taking) else np.empty((0, 0))
    average = [float(value) for value in ranks.mean(axis=0)] if len(ranks) else []
    test = statistics.friedman(matrix[whole][:, taking]) if average else None
    difference = statistics.critical_difference(*ranks.shape) if test else None
    return {
        "entrants": [int(k) for k in taking] if average else [],
        "average": average,
        "datasets": len(ranks),
        "left_out": [name for name, kept in zip(names, whole, strict=True) if not kept],
        "friedman": vars(test) if test else None,
        "critical_difference": difference,
        "groups": statistics.groups(average, difference) if difference is not None else [],
    }


def compared(
    asked: Asked, found: list[Entrant], labels: list[str], matrix: Floats, findings: list[Finding]
) -> list[dict[str, Any]]:
    """Every entrant against the first, adjusted together."""
    entries = []
    for column, entrant in enumerate(found[1:], start=1):
        both: NDArray[np.bool_] = ~np.isnan(matrix[:, 0]) & ~np.isnan(matrix[:, column])
        differences = matrix[both, column] - matrix[both, 0]
        own = Counter(one.results[asked.name].get(entrant) for one, kept in zip(findings, both, strict=True) if kept)
        entries.append(
            {
                "arm": entrant[0],
                "rule": entrant[1],
                "title": labels[column],
                **measured(differences, asked.larger),
                "wins": {result: own[result] for result in RESULTS},
            }
        )
    for entry, p in zip(entries, holm([entry["p"] for entry in entries]), strict=True):
        entry["p_holm"] = p
        entry["result"] = word(p, entry["effect"], asked.larger)
    return entries


def measured(differences: Floats, larger: bool) -> dict[str, Any]:
    """The differences of one entrant from the baseline over data sets; raw, with signs counted in its favour."""
    test, interval = statistics.wilcoxon(differences), statistics.median_interval(differences)
    signs = np.sign(np.round(differences, statistics.DIGITS)) * (1 if larger else -1)
    return {
        "n": len(differences),
        "differences": [float(value) for value in differences],
        "median": float(np.median(differences)) if len(differences) else None,
        "mean": float(np.mean(differences)) if len(differences) else None,
        "low": interval[0] if interval else None,
        "high": interval[1] if interval else None,
        "p": test.p if test else None,
        "effect": test.effect if test else None,
        "signs": {"better": int((signs > 0).sum()), "equal": int((signs == 0).sum()), "worse": int((signs < 0).sum())},
    }
