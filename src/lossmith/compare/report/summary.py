"""The report in three to five sentences for a reader without statistics, from results alone.

Gains are said in rows: "of 1,000 rows of class x it finds 12 more". They are against the baseline with the same rule,
so that a loss is not credited with what tuning a rule gives; where the baseline itself is to be tuned, against its
default rule. The class is the positive one, or the rarest: chosen before any figure is known, and told with its price.
"""

from typing import Any

from lossmith.compare.problems.asked import Path
from lossmith.compare.report.questions import mean_of, name, path
from lossmith.compare.report.tables import means_over
from lossmith.compare.settings import OWN
from lossmith.compare.verdict.inference import MINIMUM_REPEATS
from lossmith.compare.verdict.records import Runs, dig
from lossmith.compare.verdict.wording import measured, plural, shown
from lossmith.text import clean

THOUSAND = 1000
UNITS = {"segmentation": "pixels", "multilabel": "labels"}
CALLED = {"multilabel": "label"}


def paragraph(results: dict[str, Any]) -> list[str]:
    """Three to five sentences: what was compared, what to do, what it gains, how sure that is, what is missing."""
    runs, verdict = Runs(results), results["verdict"]
    told = [compared(runs, results), advice(runs, verdict), gain(runs, results), certainty(runs, verdict)]
    return [sentence for sentence in (*told, unfinished(runs)) if sentence]


def compared(runs: Runs, results: dict[str, Any]) -> str:
    """What was compared, on how many rows."""
    task = results["task"]
    source, target = clean(task["source"]), clean(task["target"])
    rows = f"{task['rows']:,} {'images' if task['kind'] == 'segmentation' else 'rows'} of {source}"
    if runs.settings.get("model") == OWN:
        return (
            f"Your model {source} was trained in {plural(len(runs.arms), 'way')} on the rows of your loaders, "
            f"{plural(runs.repeats, 'time')} each, from other initial weights and in another order each time."
        )
    return (
        f"The same model was trained in {plural(len(runs.arms), 'way')} to predict {target} from {rows}, and each way "
        f"was tried on {plural(runs.repeats, 'different split')} into rows to learn from and rows to be tested on."
    )


def advice(runs: Runs, verdict: dict[str, Any]) -> str:
    """What to do."""
    chosen, base = verdict["recommended"], runs.words.baseline
    if chosen is None:
        return "There is no advice yet, because too few of these trainings have finished."
    if verdict.get("found") is False:
        return "Look at the data first: no way of training found anything that helps to predict this target."
    tuned = chosen["rule"] == "tuned"
    if chosen["arm"] == runs.baseline:
        rule = ", but do not simply take the most probable class: tune the decision rule" if tuned else ""
        return f"Keep training with {base}{rule}."
    rule = " and tune the decision rule" if tuned else ""
    return f"Train with {clean(chosen['title'])} instead of {base}{rule}."


def gain(runs: Runs, results: dict[str, Any]) -> str:
    """What following the advice gains, in a unit that people understand; the means over all splits."""
    verdict = results["verdict"]
    chosen, base = verdict["recommended"], runs.baseline
    if chosen is None or verdict.get("found") is False or not runs.finished.get(base):
        return ""
    if chosen["arm"] == base and chosen["rule"] != "tuned":
        return level(runs, results)
    rule = "" if results["task"]["kind"] == "regression" else chosen["rule"] or "default"
    other = (base, "default" if chosen["arm"] == base else rule)
    counted = rows_found(runs, results, (chosen["arm"], rule), other)
    return counted or by_metric(runs, verdict, (chosen["arm"], rule), other)


def level(runs: Runs, results: dict[str, Any]) -> str:
    """How good the baseline is, where it is to stay as it is."""
    base = runs.baseline
    right = mean_of(runs, base, ("decision", "default", "accuracy"))["mean"]
    recall, precision = (share(runs, results, base, "default", metric) for metric in ("recall", "precision"))
    if right is None or recall is None or results["task"]["kind"] == "multilabel":
        error = mean_of(runs, base, ("errors", "mae"))["mean"]
        return "" if error is None else f"Its predictions are off by {measured(error)} on average."
    called, unit = class_words(results), UNITS.get(results["task"]["kind"], "rows")
    exact = "" if precision is None else f", and of 1,000 that it calls so {of_thousand(precision)} are right"
    return (
        f"It is right on {of_thousand(right)} of 1,000 {unit}; of 1,000 {unit} of {called} it finds "
        f"{of_thousand(recall)}{exact}."
    )


def rows_found(runs: Runs, results: dict[str, Any], one: tuple[str, str], other: tuple[str, str]) -> str:
    """How many more rows of the class that matters are found, and what that costs or saves in false alarms."""
    before, after = (share(runs, results, *arm, "recall") for arm in (other, one))
    if before is None or after is None:
        return ""
    unit, called = UNITS.get(results["task"]["kind"], "rows"), class_words(results)
    found = (
        f"Of 1,000 {unit} of {called} it finds {of_thousand(after)}, {changed(after, before)} {against(runs, other)}"
    )
    wrong, right = (share(runs, results, *arm, "precision") for arm in (other, one))
    if wrong is None or right is None:
        return f"{found}."
    return f"{found}; of 1,000 that it calls so, {of_thousand(right)} are right, {changed(right, wrong)} before."


def by_metric(runs: Runs, verdict: dict[str, Any], one: tuple[str, str], other: tuple[str, str]) -> str:
    """The figure of the last decisive question, where rows of a class cannot be counted."""
    question = [q for q in verdict["questions"] if q.get("decisive", True)][-1]
    metric = str(question["metric"])

    def figure(arm: tuple[str, str]) -> float | None:
        ruled: Path = path(question, arm[1] if question["rule"] == "tuned" else None)
        return mean_of(runs, arm[0], ruled)["mean"]

    after, before = figure(one), figure(other)
    if after is None or before is None:
        return ""
    percent = (
        f" ({100 * abs(after - before) / abs(before):.0f} % {'more' if after > before else 'less'})" if before else ""
    )
    if metric == "mae":
        off = f"Its predictions are off by {measured(after)} on average, against {measured(before)}"
        return f"{off} of {against(runs, other)}{percent}."
    figures = f"{shown(after, metric)}, against {shown(before, metric)}"
    return f"Its {name(metric)} is {figures} of {against(runs, other)}{percent}."


def certainty(runs: Runs, verdict: dict[str, Any]) -> str:
    """How sure the advice is."""
    chosen = verdict["recommended"]
    if chosen is None or verdict.get("found") is False:
        return ""
    if not verdict["testable"]:
        return (
            f"This is not sure at all: {plural(runs.repeats, 'split')} cannot tell a difference from chance, and at "
            f"least {MINIMUM_REPEATS} are needed."
        )
    if won := shown_better(runs, verdict, chosen["arm"]):
        does = " and ".join(won)
        return f"That it {does} is very likely no accident: chance alone makes any loss seem so less than 1 time in 20."
    if chosen["rule"] == "tuned":
        return "That tuning the rule helps is very likely no accident; nothing else was shown to help beyond it."
    return "No other way of training was shown to be better, which does not prove that none is."


def shown_better(runs: Runs, verdict: dict[str, Any], arm: str) -> list[str]:
    """What an arm other than the baseline is shown to do better."""
    return [
        str(q["does"])
        for q in verdict["questions"]
        for c in q["comparisons"]
        if c["arm"] == arm != runs.baseline and c["result"] == "better"
    ]


def unfinished(runs: Runs) -> str:
    """That something is missing."""
    left = runs.planned - runs.count
    return f"Of {plural(runs.planned, 'training')}, {left} did not finish, so this may still change." if left else ""


def share(runs: Runs, results: dict[str, Any], arm: str, rule: str, metric: str) -> float | None:
    """Recall or precision of the class that matters, mean over the splits."""
    k = class_index(results)
    rows = [dig(record, ("decision", rule, metric)) for record in runs.finished.get(arm, {}).values()]
    means = means_over(rows) if k is not None else []
    return means[k] if k is not None and len(means) > k else None


def class_index(results: dict[str, Any]) -> int | None:
    """The positive class, or the rarest; none in a regression."""
    task = results["task"]
    if task.get("positive") is not None:
        return int(task["positive"])
    counts = task.get("counts") or []
    return min(range(len(counts)), key=lambda k: counts[k]) if counts else None


def class_words(results: dict[str, Any]) -> str:
    """The class that matters, in words."""
    task, k = results["task"], class_index(results)
    rarest = "" if task.get("positive") is not None else "the rarest "
    return f"{rarest}{CALLED.get(task['kind'], 'class')} {clean(task['classes'][k or 0])}"


def against(runs: Runs, arm: tuple[str, str]) -> str:
    """What a gain is measured against."""
    base = runs.words.baseline
    return f"{base} with the {arm[1]} rule" if arm[1] else base


def of_thousand(value: float) -> str:
    """A share as a number out of a thousand."""
    return f"{round(THOUSAND * value):,}"


def changed(after: float, before: float) -> str:
    """``12 more than``, ``3 fewer than`` or ``as many as``."""
    step = round(THOUSAND * after) - round(THOUSAND * before)
    return f"{abs(step):,} {'more' if step > 0 else 'fewer'} than" if step else "as many as"
