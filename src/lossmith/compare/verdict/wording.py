"""The sentences of a verdict: what to use, how sure that is, and why. Plain text, safe to print anywhere."""

from collections.abc import Iterable
from typing import Any

from lossmith.compare.settings import OWN
from lossmith.compare.verdict.records import Runs
from lossmith.text import clean

NAMES = {
    "average_precision": "average precision",
    "roc_auc": "ROC-AUC",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "mcc": "Matthews correlation",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "ece": "calibration error",
    "iou": "IoU",
    "cost": "cost",
    "mae": "MAE",
    "rmse": "RMSE",
    "median_ae": "median error",
    "mape": "MAPE",
    "smape": "SMAPE",
    "r2": "R²",
    "skill": "skill",
}
SCALED = frozenset(["mae", "rmse", "median_ae", "cost", "width", "conformal_width"])  # in a unit of the user's
UNBOUNDED = frozenset(["mape", "smape", "r2", "skill"])
DIGITS = 3
RANGES = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0), "log_loss": (0.0, float("inf"))}  # the others lie in 0 to 1
NO_SIGNAL = (
    "The features tell this model nothing about the target that chance does not: check the target and the features "
    "before the loss."
)


def number(value: float | None, digits: int = DIGITS) -> str:
    """A figure as it is printed; a dash where there is none.

    >>> number(-0.0001), number(None)
    ('0.000', '-')
    """
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(value: float | None, digits: int = DIGITS) -> str:
    """A difference with its sign.

    >>> signed(0.0123)
    '+0.012'
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and float(text) > 0 else text


def measured(value: float | None) -> str:
    """A figure in a unit of the user's, of any size, with the digits that can be told apart.

    >>> measured(12345.6), measured(1.23456), measured(-0.000123456), measured(0.0)
    ('12,346', '1.235', '-0.000123', '0')
    """
    if value is None:
        return "-"
    if value == 0 or abs(value) < 1e-3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def shown(value: float | None, metric: str) -> str:
    """A figure of this metric as it is printed."""
    return measured(value) if metric in SCALED else number(value)


def difference(value: float | None, metric: str) -> str:
    """A difference in this metric with its sign."""
    if metric not in SCALED:
        return signed(value)
    return f"+{measured(value)}" if value is not None and value > 0 else measured(value)


def within(estimate: Any, metric: str) -> Any:
    """An estimate whose interval ends where the metric itself does.

    >>> within({"mean": 0.99, "low": 0.97, "high": 1.01}, "roc_auc")
    {'mean': 0.99, 'low': 0.97, 'high': 1.0}
    """
    if estimate["low"] is None:
        return estimate
    if metric in UNBOUNDED:
        return estimate
    lowest, highest = RANGES.get(metric, (0.0, float("inf") if metric in SCALED else 1.0))
    return {**estimate, "low": max(estimate["low"], lowest), "high": min(estimate["high"], highest)}


def p_value(p: float | None) -> str:
    """A p value with the digits that mean something, after "p".

    >>> p_value(0.00004), p_value(0.0312), p_value(0.4321), p_value(None)
    ('< 0.001', '= 0.031', '= 0.43', 'not tested')
    """
    if p is None:
        return "not tested"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def p_cell(p: float | None) -> str:
    """A p value as it stands in a narrow table.

    >>> p_cell(0.00004), p_cell(0.0312), p_cell(None)
    ('<0.001', '0.031', '-')
    """
    return "-" if p is None else p_value(p).removeprefix("= ").replace(" ", "")


def evidence(comparison: dict[str, Any], metric: str) -> str:
    """``+0.004 average precision, 95 % CI -0.006 to 0.014 unadjusted, p = 0.43 after Holm``."""
    parts = [f"{difference(comparison['mean'], metric)} {NAMES[metric]}"]
    if comparison["low"] is not None:
        low, high = (shown(comparison[end], metric) for end in ("low", "high"))
        parts.append(f"95 % CI {low} to {high} unadjusted")
    if comparison["p_holm"] is not None:
        parts.append(f"p {p_value(comparison['p_holm'])} after Holm")
    return ", ".join(parts)


def headline(runs: Runs, verdict: dict[str, Any]) -> str:
    """The one sentence at the top."""
    chosen, base = verdict["recommended"], runs.words.baseline
    if runs.count == 0:
        return f"No verdict: none of the {runs.planned} runs has finished{within_budget(runs)}."
    if chosen is None:
        return f"No verdict: {base}, which everything is compared with, has no finished run."
    if verdict["found"] is False:
        return nothing_found(runs, verdict)
    if not any(c["n"] for c in others(verdict, verdict["questions"][0])):
        return f"Keep {base}: there is no other arm with a finished run to compare it with."
    if not verdict["testable"]:
        return untested(runs, verdict)
    return keep(runs, verdict) if chosen["arm"] == runs.baseline else use(runs, verdict)


def within_budget(runs: Runs) -> str:
    budget = runs.settings.get("budget")
    return f" within the budget of {budget:g} s" if budget and runs.planned > len(runs.failures) else ""


def nothing_found(runs: Runs, verdict: dict[str, Any]) -> str:
    """No arm is shown to be better than chance."""
    figures = [runs.estimate(arm["name"], runs.words.signal) for arm in runs.arms]
    best = max(
        (figure for figure in figures if figure["low"] is not None), key=lambda figure: float(figure["mean"] or 0)
    )
    guess = " unadjusted; a coin has 0.5)." if runs.words.chance else " unadjusted)."
    return (
        f"Nothing was found, so the choice of loss does not matter here: {runs.words.nothing} "
        f"{number(best['mean'])}, 95 % CI {number(best['low'])} to {number(best['high'])}{guess}"
    )


def untested(runs: Runs, verdict: dict[str, Any]) -> str:
    """Too few repeats for any test."""
    question = verdict["questions"][0]
    best, doing = closest(verdict, question), question["start"].lower()
    ahead = (
        f"so far the best in {doing}" if gained(best, question) > 0 else f"no arm is ahead in {doing} so far; closest"
    )
    pairs = max(c["n"] for c in others(verdict, question))
    return (
        f"Keep {runs.words.baseline} for now: {plural(pairs, 'repeat')} cannot tell differences from chance, at least "
        f"{verdict['minimum_repeats']} are needed for a test ({ahead}: {name(best)}, "
        f"{difference(best['mean'], question['metric'])} {NAMES[question['metric']]})."
    )


def keep(runs: Runs, verdict: dict[str, Any]) -> str:
    """The baseline stays."""
    base = runs.words.baseline
    tune = " and tune the decision rule" if verdict["recommended"]["rule"] == "tuned" else ""
    decisive = [q for q in verdict["questions"] if q["decisive"]]
    mixed = [c for q in decisive for c in others(verdict, q) if wins(c)]
    if mixed:  # better in one question and worse in the other
        names = listing(dict.fromkeys(name(c) for c in mixed))
        gain, lose = ("gains", "loses") if len({name(c) for c in mixed}) == 1 else ("gain", "lose")
        return f"Keep {base}{tune}: {names} {gain} in one respect and {lose} in another (see the two questions)."
    overtaken = [name(c) for q in decisive for c in others(verdict, q) if c["overtaken"] and c["result"] == "better"]
    if overtaken:
        return (
            f"Keep {base} with the default decision rule: tuning the rule made its decisions worse, and "
            f"{listing(overtaken)} with a tuned rule did better than that, but is not shown to do better than {base} "
            "left alone."
        )
    first = decisive[0]
    best = closest(verdict, first)
    what = "rank or to decide" if first["rule"] is None and decisive[-1]["rule"] else "predict"
    return (
        f"Keep {base}{tune}: no other arm is shown to {what} better "
        f"(closest in {first['start'].lower()}: {name(best)}, {evidence(best, first['metric'])})."
    )


def use(runs: Runs, verdict: dict[str, Any]) -> str:
    """Another arm wins."""
    chosen = verdict["recommended"]
    won = [
        (q["does"], evidence(c, q["metric"]))
        for q in verdict["questions"]
        for c in others(verdict, q)
        if q["decisive"] and c["arm"] == chosen["arm"] and wins(c)
    ]
    why = f"it {together([does for does, _ in won])} than {runs.words.baseline} ({'; '.join(f for _, f in won)})"
    if not any(q["rule"] for q in verdict["questions"]):
        return f"Use {clean(chosen['title'])}: {why}."
    rule = "a tuned" if chosen["rule"] == "tuned" else "the default"
    return f"Use {clean(chosen['title'])} with {rule} decision rule: {why}."


def together(phrases: list[str]) -> str:
    """Several things that an arm does, with the word that they share said once.

    >>> together(["ranks better", "decides better"]), together(["has a smaller mean error"])
    ('ranks and decides better', 'has a smaller mean error')
    """
    ends = {phrase.rpartition(" ")[2] for phrase in phrases}
    if len(phrases) > 1 and len(ends) == 1:
        return " and ".join(phrase.rpartition(" ")[0] for phrase in phrases) + f" {ends.pop()}"
    return " and ".join(phrases)


def sentences(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """What follows the headline and does not repeat it, the most useful first."""
    if not verdict["recommended"]:
        return missing(runs, verdict)
    if verdict["found"] is False:
        return [NO_SIGNAL, *certainty(runs, verdict), *missing(runs, verdict)]
    return [
        *(text for question in verdict["questions"] for text in beyond(runs, verdict, question)),
        *tuning(runs, verdict),
        *calibrated(runs, verdict),
        *warnings(verdict),
        *certainty(runs, verdict),
        *missing(runs, verdict),
    ]


def beyond(runs: Runs, verdict: dict[str, Any], question: dict[str, Any]) -> list[str]:
    """The answer to a question as far as the headline has not given it."""
    arm = verdict["recommended"]["arm"]
    better = [c for c in question["comparisons"] if wins(c) and c["arm"] != runs.baseline]
    if not question["decisive"]:
        return [question["answer"]] if better else []
    if arm == runs.baseline:
        return [] if question is verdict["questions"][0] else [question["answer"]]
    if arm not in [c["arm"] for c in better]:
        return [question["answer"]]
    rest = gains([c for c in better if c["arm"] != arm], question["metric"])
    does = question["does"][:1].upper() + question["does"][1:]
    return [f"{does} than {runs.words.baseline}, too: {rest}."] if rest else []


def gains(better: list[dict[str, Any]], metric: str) -> str:
    return "; ".join(f"{name(c)} ({evidence(c, metric)})" for c in better)


def answer(runs: Runs, question: dict[str, Any], signal: bool | None) -> str:
    """The answer to one of the questions; without a ``signal`` no difference is worth acting on."""
    metric, base, start = question["metric"], runs.words.baseline, question["start"]
    entries = [c for c in question["comparisons"] if c["n"] and c["arm"] != runs.baseline]
    better = sorted((c for c in entries if c["result"] == "better"), key=lambda c: -gained(c, question))
    if not entries:
        return f"{start}: nothing to compare."
    if better:
        names = listing(name(c) for c in better if c["overtaken"])
        but = f"; but not shown to be better than {base} at its default rule: {names}" if names else ""
        but = f"; but {NO_CHANCE[runs.words.chance]}, so do not act on it" if signal is False else but
        return f"{start}: better than {base}: {gains(better, metric)}{but}."
    best = max(entries, key=lambda c: gained(c, question))
    figures = f"{name(best)}, {evidence(best, metric)}"
    if all(c["result"] == "untested" for c in entries):
        lead = "the best so far is" if gained(best, question) > 0 else "no arm is ahead so far, the closest is"
        return f"{start}: no test is possible; {lead} {figures}."
    return f"{start}: no arm is shown to be better; the closest is {figures}."


NO_CHANCE = {0.5: "no arm ranks above chance", 0.0: "no arm predicts better than the median"}


def gained(comparison: dict[str, Any], question: dict[str, Any]) -> float:
    """The mean difference, larger for better."""
    return float(comparison["mean"]) if question["larger"] else -float(comparison["mean"])


def tuning(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """Whether tuning the baseline's rule is worth it; the sign is turned so that it is that of tuning."""
    told = []
    for question in verdict["questions"]:
        plain = next((c for c in question["comparisons"] if c["arm"] == runs.baseline), None)
        if plain is None or not plain["n"]:
            continue
        turned = {one: None if plain[end] is None else -plain[end] for one, end in (("low", "high"), ("high", "low"))}
        gain = evidence({**plain, "mean": -plain["mean"], **turned}, question["metric"])
        base = runs.words.baseline
        says = {
            "worse": f"Tune the decision rule of {base} on validation rows: it decides better than the default rule",
            "better": f"Leave the decision rule of {base} alone: tuning it made decisions worse",
            "untested": f"Whether tuning the decision rule of {base} pays cannot be tested yet",
        }.get(plain["result"], f"Tuning the decision rule of {base} is not shown to change its decisions")
        told.append(f"{says} ({gain}).")
    return told


def calibrated(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """What another arm than the baseline does to the probabilities."""
    arm = verdict["recommended"]["arm"]
    if arm == runs.baseline or not any(q["metric"] == "log_loss" for q in verdict["questions"]):
        return []
    rows = {row["arm"]: row["calibration"]["log_loss"]["mean"] for row in verdict["table"]}
    base = rows[runs.baseline]
    figures = f"log-loss {number(rows[arm])} against {number(base)} of {runs.words.baseline} (less is better)"
    return [f"Its probabilities: {figures}; see the section on calibration before taking them at their word."]


def warnings(verdict: dict[str, Any]) -> list[str]:
    """The arms that are worse beyond doubt."""
    if not verdict["avoid"]:
        return []
    found: dict[str, list[str]] = {}
    for entry in verdict["avoid"]:
        why = f"{entry['fails']}, {difference(entry['mean'], entry['metric'])} {NAMES[entry['metric']]}"
        found.setdefault(name(entry), []).append(why)
    return ["Avoid here: " + "; ".join(f"{title} ({' and '.join(said)})" for title, said in found.items()) + "."]


def certainty(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """How sure all this is, and how large a difference had to be to be found."""
    if not verdict["testable"]:
        return []
    tests = "tests corrected for their overlap (Nadeau-Bengio) and for the number of arms (Holm)"
    made = "repeated splits"
    if runs.settings.get("model") == OWN:
        made = "trainings on the same rows, which tells of chance in training and not of other rows"
    sure = f"How sure: {runs.repeats} {made}, {tests}."
    known = [q for q in verdict["questions"] if q["decisive"] and q["detectable"] is not None]
    asked = known if verdict["found"] is not False else []
    sizes = " or ".join(f"{shown(q['detectable'], q['metric'])} in {NAMES[q['metric']]}" for q in asked)
    return [f"{sure} A difference had to be about {sizes} to be found reliably (4 times in 5)." if sizes else sure]


def missing(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """Runs that failed or have not been made."""
    left, told = runs.planned - runs.count - len(runs.failures), []
    if runs.failures:
        arms = listing(dict.fromkeys(clean(runs.title(record["arm"])) for record in runs.failures))
        pairs = "; comparisons use the repeats that both arms finished" if runs.count else ""
        told.append(f"{len(runs.failures)} of {runs.planned} runs failed or ran out of time ({arms}){pairs}.")
    if left > 0:
        told.append(f"This is a partial result: {left} of {runs.planned} runs have not been made yet.")
    return told


def others(verdict: dict[str, Any], question: dict[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of the other arms, without that of the baseline's two rules."""
    return [c for c in question["comparisons"] if c["arm"] != verdict["baseline"]]


def wins(comparison: dict[str, Any]) -> bool:
    """Shown to be better, and not only than a baseline that its own tuning has harmed."""
    return bool(comparison["result"] == "better" and not comparison["overtaken"])


def closest(verdict: dict[str, Any], question: dict[str, Any]) -> dict[str, Any]:
    """The other arm that gains most."""
    return max((c for c in others(verdict, question) if c["n"]), key=lambda c: gained(c, question))


def name(comparison: dict[str, Any]) -> str:
    return clean(comparison["title"])


def listing(names: Iterable[str], most: int = 4) -> str:
    """Names in a sentence; past ``most`` only their number."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def plural(count: int, word: str) -> str:
    """``1 repeat``, ``2 repeats``."""
    return f"{count} {word}{'' if count == 1 else 's'}"
