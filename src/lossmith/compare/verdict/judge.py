"""What a comparison says: two questions answered apart, a leaderboard, and what to use.

*Rank*: does any arm rank better than cross-entropy (average precision)? *Decide*: does any arm decide better than
cross-entropy when the rule of both is tuned on validation in the same way? The second family also holds cross-entropy
at its default rule, which answers whether tuning the rule is worth it. Nothing here reads a clock or draws a number.
"""

from statistics import median
from typing import Any

from lossmith.compare.verdict import wording
from lossmith.compare.verdict.inference import LEVEL, MINIMUM_REPEATS, above, detectable, holm, paired
from lossmith.compare.verdict.records import BASELINE, CALIBRATION, RANKING, Path, Runs
from lossmith.compare.verdict.snippet import snippet
from lossmith.metrics import DECISIONS

Comparison = dict[str, Any]
Question = dict[str, Any]
Entrant = tuple[str, str | None, Path]  # an arm, the rule it decides by, and where its figure is

RULES = ("default", "tuned")
CHANCE = 0.5


def judge(results: dict[str, Any]) -> dict[str, Any]:
    """The verdict of a comparison, finished or not; the same results give the same verdict, byte for byte."""
    runs = Runs(results)
    table = leaderboard(runs)
    signal = found(runs)
    questions = [{**q, "answer": wording.answer(q, signal)} for q in (rank_question(runs), decide_question(runs))]
    verdict: dict[str, Any] = {
        "minimum_repeats": MINIMUM_REPEATS,
        "finished": runs.count,
        "planned": runs.planned,
        "failed": len(runs.failures),
        "testable": any(c["p"] is not None for question in questions for c in question["comparisons"]),
        "found": signal,
        "questions": questions,
        "avoid": avoid(questions) if signal is not False else [],
        "table": add_p_values(table, questions),
    }
    verdict["recommended"] = recommend(runs, verdict)
    verdict["headline"] = wording.headline(runs, verdict)
    verdict["sentences"] = wording.sentences(runs, verdict)
    verdict["snippet"] = snippet(results, verdict["recommended"])
    return verdict


def rank_question(runs: Runs) -> Question:
    """Every other arm's average precision against that of cross-entropy."""
    path: Path = ("ranking", "average_precision")
    others: list[Entrant] = [(arm["name"], None, path) for arm in runs.arms if arm["name"] != BASELINE]
    return question(runs, "rank", "average_precision", path, others)


def decide_question(runs: Runs) -> Question:
    """Every other arm at its tuned rule, and cross-entropy at its default rule, against cross-entropy tuned."""
    tuned: Path = ("decision", "tuned", runs.metric)
    others: list[Entrant] = [(arm["name"], "tuned", tuned) for arm in runs.arms if arm["name"] != BASELINE]
    plain: Path = ("decision", "default", runs.metric)
    asked = question(runs, "decide", runs.metric, tuned, [(BASELINE, "default", plain), *others])
    if asked["comparisons"][0]["result"] == "better":  # tuning harmed cross-entropy: left alone it is the one to beat
        against = question(runs, "decide", runs.metric, plain, others)["comparisons"]
        for entry, other in zip(asked["comparisons"][1:], against, strict=True):
            entry["overtaken"] = other["result"] != "better"
    return asked


def question(runs: Runs, name: str, metric: str, path: Path, others: list[Entrant]) -> Question:
    """One family of paired tests against cross-entropy, adjusted together.

    ``detectable`` is how large a difference had to be to be found reliably, in the middle of the other arms.
    """
    comparisons = [comparison(runs, arm, rule, other, path) for arm, rule, other in others]
    for entry, p in zip(comparisons, holm([c["p"] for c in comparisons]), strict=True):
        entry["p_holm"] = p
        entry["result"] = result(entry)
    tests = sum(c["p"] is not None for c in comparisons)
    sizes = [detectable(c["sd"], c["n"], runs.ratio, tests) for c in comparisons if c["arm"] != BASELINE]
    known = [size for size in sizes if size is not None]
    return {
        "name": name,
        "metric": metric,
        "baseline": BASELINE,
        "comparisons": comparisons,
        "detectable": median(known) if known else None,
    }


def comparison(runs: Runs, arm: str, rule: str | None, path: Path, baseline_path: Path) -> Comparison:
    """One arm against the baseline, over the repeats in which both have finished."""
    differences = runs.differences((arm, path), (BASELINE, baseline_path)) if BASELINE in runs.finished else {}
    return {
        "arm": arm,
        "title": runs.title(arm),
        "rule": rule,
        "repeats": runs.repeats,
        **paired(list(differences.values()), runs.ratio),
        "differences": [[repeat, difference] for repeat, difference in differences.items()],
        "overtaken": False,  # by cross-entropy at its default rule, where tuning harmed it: see decide_question
    }


def result(entry: Comparison) -> str:
    """In one word what a comparison shows after Holm's correction."""
    if entry["n"] == 0:
        return "no runs"
    if entry["p_holm"] is None:
        return "untested"
    if entry["p_holm"] >= LEVEL:
        return "unclear"
    return "better" if entry["mean"] > 0 else "worse"


def leaderboard(runs: Runs) -> list[dict[str, Any]]:
    """One row per arm, the best decider first; arms without a finished run come last."""
    rows = [row(runs, arm) for arm in runs.arms]

    def key(entry: dict[str, Any]) -> float:
        mean = entry["decision"]["tuned"][runs.metric]["mean"]
        return float("inf") if mean is None else -float(mean)

    return sorted(rows, key=key)


def row(runs: Runs, arm: dict[str, Any]) -> dict[str, Any]:
    """The means of all figures of one arm with their intervals; ``time`` alone differs between identical runs."""
    name = arm["name"]
    seconds = runs.estimate(name, ("time", "train_seconds"))
    return {
        "arm": name,
        "title": arm["title"],
        "finished": len(runs.finished[name]),
        "failed": sum(record["arm"] == name for record in runs.failures),
        "ranking": {metric: runs.estimate(name, ("ranking", metric)) for metric in RANKING},
        "decision": {
            rule: {metric: runs.estimate(name, ("decision", rule, metric)) for metric in DECISIONS} for rule in RULES
        },
        "calibration": {metric: runs.estimate(name, ("calibration", metric)) for metric in CALIBRATION},
        "time": {"train_seconds": seconds["mean"]},
    }


def add_p_values(table: list[dict[str, Any]], questions: list[Question]) -> list[dict[str, Any]]:
    """The leaderboard with each arm's Holm-adjusted p of both questions; the baseline has none."""
    for entry in table:
        entry["p"] = {
            q["name"]: next((c["p_holm"] for c in q["comparisons"] if c["arm"] == entry["arm"] != BASELINE), None)
            for q in questions
        }
    return table


def found(runs: Runs) -> bool | None:
    """Whether any arm is shown to rank better than chance (ROC-AUC, Holm over the arms); None: too few repeats."""
    areas = [list(runs.figures(arm["name"], ("ranking", "roc_auc")).values()) for arm in runs.arms]
    ps = [p for p in holm([above(area, CHANCE, runs.ratio) for area in areas]) if p is not None]
    return any(p < LEVEL for p in ps) if ps else None


def avoid(questions: list[Question]) -> list[dict[str, Any]]:
    """The other arms that are worse than cross-entropy beyond doubt, and in what."""
    return [
        {key: c[key] for key in ("arm", "title", "mean", "p_holm")} | {"question": q["name"], "metric": q["metric"]}
        for q in questions
        for c in q["comparisons"]
        if c["result"] == "worse" and c["arm"] != BASELINE
    ]


def recommend(runs: Runs, verdict: dict[str, Any]) -> dict[str, Any] | None:
    """The arm and rule to use with its most often chosen parameters; None where cross-entropy never finished."""
    if not runs.finished.get(BASELINE):
        return None
    arm = (winners(verdict) if verdict["found"] is not False else []) or [BASELINE]
    best, _ = runs.chosen(arm[0])[0]
    return {
        "arm": arm[0],
        "title": runs.title(arm[0]),
        "rule": better_rule(verdict, arm[0]),
        "spec": best["spec"],
        "params": best["params"],
    }


def winners(verdict: dict[str, Any]) -> list[str]:
    """Arms better in one question and worse in none; deciding counts before ranking, then the size of the gain."""
    rank, decide = ({c["arm"]: c for c in q["comparisons"] if c["arm"] != BASELINE} for q in verdict["questions"])
    better = [
        arm
        for arm in rank
        if (wording.wins(rank[arm]) or wording.wins(decide[arm]))
        and "worse" not in (rank[arm]["result"], decide[arm]["result"])
    ]

    def key(arm: str) -> tuple[bool, float]:
        decides = wording.wins(decide[arm])
        return not decides, -(decide[arm]["mean"] if decides else rank[arm]["mean"])

    return sorted(better, key=key)


def better_rule(verdict: dict[str, Any], arm: str) -> str:
    """The rule that the evidence is about: who decides better did so tuned; others tune where that was shown to pay."""
    comparisons = verdict["questions"][1]["comparisons"]
    if verdict["found"] is False:
        return "default"
    if any(wording.wins(c) for c in comparisons if c["arm"] == arm != BASELINE):
        return "tuned"
    return "tuned" if any(c["result"] == "worse" for c in comparisons if c["arm"] == BASELINE) else "default"
