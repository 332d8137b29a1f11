"""What a comparison says: a few questions answered apart, a leaderboard, and what to use.

Of classes: *rank*, does any arm rank better than cross-entropy (average precision)? *Decide*, does any arm decide
better than cross-entropy when the rule of both is tuned on validation in the same way? That family also holds
cross-entropy at its default rule, which answers whether tuning the rule is worth it. *Trust*, does any arm give better
probabilities? It informs, and recommends nothing. Of numbers: does any arm err less than squared error, by one measure
of error and by another? Nothing here reads a clock or draws a number.
"""

from dataclasses import asdict
from statistics import median
from typing import Any

from lossmith.compare.problems.asked import Asked, board, questions
from lossmith.compare.verdict import wording
from lossmith.compare.verdict.inference import LEVEL, MINIMUM_REPEATS, above, detectable, holm, paired
from lossmith.compare.verdict.records import Path, Runs
from lossmith.compare.verdict.snippet import snippet

Comparison = dict[str, Any]
Question = dict[str, Any]
Entrant = tuple[str, str | None, Path]  # an arm, the rule it decides by, and where its figure is

RULES = ("default", "tuned")


def judge(results: dict[str, Any]) -> dict[str, Any]:
    """The verdict of a comparison, finished or not; the same results give the same verdict, byte for byte."""
    runs = Runs(results)
    table = leaderboard(runs)
    signal = found(runs)
    asked = [question(runs, one) for one in questions(runs.kind, runs.metric)]
    answered = [{**q, "answer": wording.answer(runs, q, signal)} for q in asked]
    verdict: dict[str, Any] = {
        "minimum_repeats": MINIMUM_REPEATS,
        "finished": runs.count,
        "planned": runs.planned,
        "failed": len(runs.failures),
        "testable": any(c["p"] is not None for q in answered for c in q["comparisons"]),
        "found": signal,
        "baseline": runs.baseline,
        "questions": answered,
        "avoid": avoid(runs, answered) if signal is not False else [],
        "table": add_p_values(runs, table, answered),
    }
    verdict["recommended"] = recommend(runs, verdict)
    verdict["headline"] = wording.headline(runs, verdict)
    verdict["sentences"] = wording.sentences(runs, verdict)
    verdict["snippet"] = snippet(results, verdict["recommended"])
    return verdict


def question(runs: Runs, asked: Asked) -> Question:
    """Every other arm against the baseline; where a rule is tuned, also the baseline at its default rule."""
    others: list[Entrant] = [(arm["name"], asked.rule, asked.path) for arm in runs.arms if arm["name"] != runs.baseline]
    if asked.rule is None:
        return family(runs, asked, asked.path, others)
    plain = tuple("default" if key == asked.rule else key for key in asked.path)
    found = family(runs, asked, asked.path, [(runs.baseline, "default", plain), *others])
    if found["comparisons"][0]["result"] == "better":  # tuning harmed the baseline: left alone it is the one to beat
        against = family(runs, asked, plain, others)["comparisons"]
        for entry, other in zip(found["comparisons"][1:], against, strict=True):
            entry["overtaken"] = other["result"] != "better"
    return found


def family(runs: Runs, asked: Asked, path: Path, others: list[Entrant]) -> Question:
    """One family of paired tests against the baseline, adjusted together.

    ``detectable`` is how large a difference had to be to be found reliably, in the middle of the other arms.
    """
    comparisons = [comparison(runs, arm, rule, other, path) for arm, rule, other in others]
    for entry, p in zip(comparisons, holm([c["p"] for c in comparisons]), strict=True):
        entry["p_holm"] = p
        entry["result"] = result(entry, asked.larger)
    tests = sum(c["p"] is not None for c in comparisons)
    sizes = [detectable(c["sd"], c["n"], runs.ratio, tests) for c in comparisons if c["arm"] != runs.baseline]
    known = [size for size in sizes if size is not None]
    return {
        **asdict(asked),
        "larger": asked.larger,
        "baseline": runs.baseline,
        "comparisons": comparisons,
        "detectable": median(known) if known else None,
    }


def comparison(runs: Runs, arm: str, rule: str | None, path: Path, baseline_path: Path) -> Comparison:
    """One arm against the baseline, over the repeats in which both have finished."""
    differences = runs.differences((arm, path), (runs.baseline, baseline_path))
    return {
        "arm": arm,
        "title": runs.title(arm),
        "rule": rule,
        "repeats": runs.repeats,
        **paired(list(differences.values()), runs.ratio),
        "differences": [[repeat, difference] for repeat, difference in differences.items()],
        "overtaken": False,  # by the baseline at its default rule, where tuning harmed it: see question
    }


def result(entry: Comparison, larger: bool) -> str:
    """In one word what a comparison shows after Holm's correction."""
    if entry["n"] == 0:
        return "no runs"
    if entry["p_holm"] is None:
        return "untested"
    if entry["p_holm"] >= LEVEL:
        return "unclear"
    return "better" if (entry["mean"] > 0) == larger else "worse"


def leaderboard(runs: Runs) -> list[dict[str, Any]]:
    """One row per arm, the best at what decides first; arms without a finished run come last."""
    last = questions(runs.kind, runs.metric)
    decisive = [asked for asked in last if asked.decisive][-1]

    def key(entry: dict[str, Any]) -> float:
        mean = runs.estimate(entry["arm"], decisive.path)["mean"]
        return float("inf") if mean is None else -float(mean) if decisive.larger else float(mean)

    return sorted((row(runs, arm) for arm in runs.arms), key=key)


def row(runs: Runs, arm: dict[str, Any]) -> dict[str, Any]:
    """The means of all figures of one arm with their intervals; ``time`` alone differs between identical runs."""
    name = arm["name"]
    seconds = runs.estimate(name, ("time", "train_seconds"))
    groups = board(runs.kind, runs.metric)
    plain = {group: metrics for group, metrics in groups.items() if group != "decision"}
    figures: dict[str, Any] = {
        group: {metric: runs.estimate(name, (group, metric)) for metric in metrics} for group, metrics in plain.items()
    }
    if "decision" in groups:
        figures["decision"] = {
            rule: {metric: runs.estimate(name, ("decision", rule, metric)) for metric in groups["decision"]}
            for rule in RULES
        }
    return {
        "arm": name,
        "title": arm["title"],
        "finished": len(runs.finished[name]),
        "failed": sum(record["arm"] == name for record in runs.failures),
        **figures,
        "time": {"train_seconds": seconds["mean"]},
    }


def add_p_values(runs: Runs, table: list[dict[str, Any]], asked: list[Question]) -> list[dict[str, Any]]:
    """The leaderboard with each arm's Holm-adjusted p of every question; the baseline has none."""
    for entry in table:
        entry["p"] = {
            q["name"]: next((c["p_holm"] for c in q["comparisons"] if c["arm"] == entry["arm"] != runs.baseline), None)
            for q in asked
        }
    return table


def found(runs: Runs) -> bool | None:
    """Whether any arm is shown to be better than chance (Holm over the arms); None: too few repeats."""
    values = [list(runs.figures(arm["name"], runs.words.signal).values()) for arm in runs.arms]
    ps = [p for p in holm([above(of_arm, runs.words.chance, runs.ratio) for of_arm in values]) if p is not None]
    return any(p < LEVEL for p in ps) if ps else None


def avoid(runs: Runs, asked: list[Question]) -> list[dict[str, Any]]:
    """The other arms that are worse than the baseline beyond doubt in what decides, and in what."""
    return [
        {key: c[key] for key in ("arm", "title", "mean", "p_holm")}
        | {"question": q["name"], "metric": q["metric"], "fails": q["fails"]}
        for q in asked
        for c in q["comparisons"]
        if q["decisive"] and c["result"] == "worse" and c["arm"] != runs.baseline
    ]


def recommend(runs: Runs, verdict: dict[str, Any]) -> dict[str, Any] | None:
    """The arm and rule to use with its most often chosen parameters; None where the baseline never finished."""
    if not runs.finished.get(runs.baseline):
        return None
    arm = (winners(verdict) if verdict["found"] is not False else []) or [runs.baseline]
    best, _ = runs.chosen(arm[0])[0]
    return {
        "arm": arm[0],
        "title": runs.title(arm[0]),
        "rule": better_rule(verdict, arm[0]),
        "spec": best["spec"],
        "params": best["params"],
    }


def winners(verdict: dict[str, Any]) -> list[str]:
    """Arms better in one decisive question and worse in none; the last question counts most, then the gain."""
    decisive = [q for q in verdict["questions"] if q["decisive"]]
    by_arm = [{c["arm"]: c for c in q["comparisons"] if c["arm"] != verdict["baseline"]} for q in decisive]
    signs = [1.0 if q["larger"] else -1.0 for q in decisive]
    better = [
        arm
        for arm in by_arm[0]
        if any(wording.wins(entries[arm]) for entries in by_arm)
        and all(entries[arm]["result"] != "worse" for entries in by_arm)
    ]

    def key(arm: str) -> tuple[int, float]:
        last = max(k for k, entries in enumerate(by_arm) if wording.wins(entries[arm]))
        return -last, -signs[last] * by_arm[last][arm]["mean"]

    return sorted(better, key=key)


def better_rule(verdict: dict[str, Any], arm: str) -> str:
    """The rule that the evidence is about: who decides better did so tuned; others tune where that was shown to pay."""
    comparisons = [c for q in verdict["questions"] if q["rule"] is not None for c in q["comparisons"]]
    base = verdict["baseline"]
    if verdict["found"] is False:
        return "default"
    if any(wording.wins(c) for c in comparisons if c["arm"] == arm != base):
        return "tuned"
    return "tuned" if any(c["result"] == "worse" for c in comparisons if c["arm"] == base) else "default"
