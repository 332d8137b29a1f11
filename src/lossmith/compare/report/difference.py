"""What changed between two comparisons: data, settings, arms, versions, verdicts, and the figures of every arm in both.

Where both split the same rows alike (the same digest of the data, seed and ways of splitting), repeat k of one is
paired with repeat k of the other, and the test is the paired one of the verdict. Where not, means are compared, with
the same widening of their variances and Welch's degrees of freedom. Changes are the second minus the first.
"""

import math
from collections.abc import Sequence
from typing import Any

from scipy import stats

from lossmith.compare.problems.asked import Path
from lossmith.compare.report import questions
from lossmith.compare.verdict.inference import LEVEL, MINIMUM_REPEATS, Estimate, estimate, holm, paired
from lossmith.compare.verdict.records import Runs

Results = dict[str, Any]
SPLITTING = ("seed", "split")
DATA = ("source", "target", "kind", "rows", "digest", "classes", "counts", "dropped_rows", "split")
OF_AN_ARM = ("spec", "weighting", "adjust", "resampling", "calibration", "grid")
SECONDS: Path = ("time", "train_seconds")


def difference(one: Results, other: Results) -> dict[str, Any]:
    """What changed from one comparison to the other, as a JSON document; both hold a verdict."""
    runs = (Runs(one), Runs(other))
    same, why = same_splits(one, other)
    shared = [arm["name"] for arm in runs[0].arms if arm["name"] in {arm["name"] for arm in runs[1].arms}]
    return {
        "data": changed(facts(one), facts(other)),
        "settings": changed(one["settings"], other["settings"]),
        "versions": changed(versions(one), versions(other)),
        "arms": arms(one, other, shared),
        "headlines": [one["verdict"]["headline"], other["verdict"]["headline"]],
        "recommended": [one["verdict"]["recommended"], other["verdict"]["recommended"]],
        "paired": same,
        "why": why,
        "questions": [question(runs, asked, shared, same) for asked in asked_in_both(one, other)],
        "seconds": [seconds(runs, arm) for arm in shared],
        "failed": [len(found.failures) for found in runs],
    }


def facts(results: Results) -> dict[str, Any]:
    """What is compared of the data: its source, shape and digest, and its features by name."""
    task = results["task"]
    features = [feature["name"] for feature in task.get("features", [])]
    return {name: task[name] for name in DATA if name in task} | {"features": features}


def versions(results: Results) -> dict[str, Any]:
    """What the comparison ran on."""
    return {"lossmith": results["version"], **results["environment"]}


def changed(one: dict[str, Any], other: dict[str, Any]) -> dict[str, list[Any]]:
    """What differs, as it was and as it is; None for what is not there.

    >>> changed({"seed": 0, "repeats": 8}, {"seed": 0, "repeats": 16})
    {'repeats': [8, 16]}
    """
    names = dict.fromkeys([*one, *other])
    return {name: [one.get(name), other.get(name)] for name in names if one.get(name) != other.get(name)}


def arms(one: Results, other: Results, shared: Sequence[str]) -> dict[str, Any]:
    """The arms of only one comparison, and those of both whose meaning differs."""
    first, second = ({arm["name"]: arm for arm in results["arms"]} for results in (one, other))
    meanings = [{name: {key: arms[name].get(key) for key in OF_AN_ARM} for name in shared} for arms in (first, second)]
    differing = {name: changed(meanings[0][name], meanings[1][name]) for name in shared}
    return {
        "only_first": [name for name in first if name not in second],
        "only_second": [name for name in second if name not in first],
        "changed": {name: found for name, found in differing.items() if found},
    }


def same_splits(one: Results, other: Results) -> tuple[bool, str]:
    """Whether repeat k of both trained and tested on the same rows, and why so or why not."""
    digests = [results["task"].get("digest") for results in (one, other)]
    if not all(digests):
        return False, "unpaired: an older folder does not say which data it is about"
    if digests[0] != digests[1]:
        return False, "unpaired: the data differ"
    differing = [name for name in SPLITTING if one["settings"].get(name) != other["settings"].get(name)]
    differing += ["how rows are dealt"] if one["task"].get("split") != other["task"].get("split") else []
    if differing:
        return False, f"unpaired: the splits differ ({', '.join(differing)})"
    return True, "paired over the repeats, which have the same rows in both"


def asked_in_both(one: Results, other: Results) -> list[dict[str, Any]]:
    """The questions that both verdicts answer by the same figure."""
    known = {questions.path(question) for question in one["verdict"]["questions"]}
    return [question for question in other["verdict"]["questions"] if questions.path(question) in known]


def question(runs: tuple[Runs, Runs], asked: dict[str, Any], shared: Sequence[str], same: bool) -> dict[str, Any]:
    """How one figure of every arm in both has changed, with Holm's correction for the number of arms."""
    path = questions.path(asked)
    changes = [{"arm": arm, "title": runs[1].title(arm), **change(runs, arm, path, same)} for arm in shared]
    for entry, p in zip(changes, holm([entry["p"] for entry in changes]), strict=True):
        entry["p_holm"] = p
        entry["result"] = result(entry, asked["larger"])
    return {"name": asked["name"], "metric": asked["metric"], "larger": asked["larger"], "changes": changes}


def change(runs: tuple[Runs, Runs], arm: str, path: Path, same: bool) -> dict[str, Any]:
    """The mean of one figure in both comparisons, and the difference with its interval and p."""
    before, after = (found.figures(arm, path) for found in runs)
    means = {"before": runs[0].estimate(arm, path)["mean"], "after": runs[1].estimate(arm, path)["mean"]}
    if same:
        differences = [after[repeat] - before[repeat] for repeat in after if repeat in before]
        tested = paired(differences, max(found.ratio for found in runs))
        return {**means, **{key: tested[key] for key in ("n", "mean", "low", "high", "p")}}
    estimates = [estimate(list(f.values()), found.ratio) for f, found in zip((before, after), runs, strict=True)]
    return {**means, **welch(estimates[0], estimates[1], runs)}


def welch(before: Estimate, after: Estimate, runs: tuple[Runs, Runs]) -> dict[str, Any]:
    """The difference of two means whose repeats are not paired, by Welch's test with Nadeau and Bengio's variances.

    The variance of each mean is ``s^2 (1/J + n_test / n_train)``; its degrees of freedom are Welch and Satterthwaite's.
    """
    n = min(before["n"], after["n"])
    if before["mean"] is None or after["mean"] is None:
        return {"n": n, "mean": None, "low": None, "high": None, "p": None}
    mean = after["mean"] - before["mean"]
    if before["sd"] is None or after["sd"] is None:
        return {"n": n, "mean": mean, "low": None, "high": None, "p": None}
    pairs = [(e["sd"] or 0.0, e["n"], found.ratio) for e, found in zip((before, after), runs, strict=True)]
    parts = [sd**2 * (1 / count + ratio) for sd, count, ratio in pairs]
    error = math.sqrt(sum(parts))
    if error == 0:
        return {"n": n, "mean": mean, "low": mean, "high": mean, "p": None}
    freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, (_, count, _) in zip(parts, pairs, strict=True))
    reach = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, freedom)) if n >= MINIMUM_REPEATS else None
    return {"n": n, "mean": mean, "low": mean - reach, "high": mean + reach, "p": p}


def result(entry: dict[str, Any], larger: bool) -> str:
    """In one word what a change shows after Holm's correction."""
    if entry["mean"] is None:
        return "no runs"
    if entry["p_holm"] is None:
        return "untested"
    if entry["p_holm"] >= LEVEL:
        return "unclear"
    return "better" if (entry["mean"] > 0) == larger else "worse"


def seconds(runs: tuple[Runs, Runs], arm: str) -> dict[str, Any]:
    """Training time of a run in both comparisons."""
    before, after = (found.estimate(arm, SECONDS)["mean"] for found in runs)
    return {
        "arm": arm,
        "title": runs[1].title(arm),
        "before": before,
        "after": after,
        "times": after / before if before and after is not None else None,
    }
