"""The sentences of a verdict: what to use, how sure that is, and why. Plain text, safe to print anywhere."""

from collections.abc import Iterable
from typing import Any

from lossmith.compare.verdict.records import BASELINE, Runs
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
}
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


def within(estimate: Any, metric: str) -> Any:
    """An estimate whose interval ends where the metric itself does.

    >>> within({"mean": 0.99, "low": 0.97, "high": 1.01}, "roc_auc")
    {'mean': 0.99, 'low': 0.97, 'high': 1.0}
    """
    if estimate["low"] is None:
        return estimate
    lowest, highest = RANGES.get(metric, (0.0, 1.0))
    return {**estimate, "low": max(estimate["low"], lowest), "high": min(estimate["high"], highest)}


def p_value(p: float | None) -> str:
    """A p value with the digits that mean something, after "p".

    >>> p_value(0.00004), p_value(0.0312), p_value(0.4321), p_value(None)
    ('< 0.001', '= 0.031', '= 0.43', 'not tested')
    """
    if p is None:
        return "not tested"
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def evidence(comparison: dict[str, Any], metric: str) -> str:
    """``+0.004 average precision, 95 % CI -0.006 to 0.014 unadjusted, p = 0.43 after Holm``."""
    parts = [f"{signed(comparison['mean'])} {NAMES[metric]}"]
    if comparison["low"] is not None:
        parts.append(f"95 % CI {number(comparison['low'])} to {number(comparison['high'])} unadjusted")
    if comparison["p_holm"] is not None:
        parts.append(f"p {p_value(comparison['p_holm'])} after Holm")
    return ", ".join(parts)


def headline(runs: Runs, verdict: dict[str, Any]) -> str:
    """The one sentence at the top."""
    chosen = verdict["recommended"]
    if runs.count == 0:
        return f"No verdict: none of the {runs.planned} runs has finished{within_budget(runs)}."
    if chosen is None:
        return "No verdict: cross-entropy, which everything is compared with, has no finished run."
    if verdict["found"] is False:
        return nothing_found(verdict)
    if not any(c["n"] for c in others(verdict, "rank")):
        return "Keep cross-entropy: there is no other arm with a finished run to compare it with."
    if not verdict["testable"]:
        return untested(runs, verdict)
    return keep(verdict) if chosen["arm"] == BASELINE else use(verdict)


def within_budget(runs: Runs) -> str:
    budget = runs.settings.get("budget")
    return f" within the budget of {budget:g} s" if budget and runs.planned > len(runs.failures) else ""


def nothing_found(verdict: dict[str, Any]) -> str:
    """No arm is shown to rank better than chance."""
    areas = [row["ranking"]["roc_auc"] for row in verdict["table"]]
    best = max((area for area in areas if area["low"] is not None), key=lambda area: float(area["mean"]))
    return (
        "Nothing was found, so the choice of loss does not matter here: no arm is shown to rank better than chance "
        f"(the best ROC-AUC is {number(best['mean'])}, 95 % CI {number(best['low'])} to {number(best['high'])} "
        "unadjusted; a coin has 0.5)."
    )


def untested(runs: Runs, verdict: dict[str, Any]) -> str:
    """Too few repeats for any test."""
    best = closest(verdict, "rank")
    lead = "so far the best in ranking" if best["mean"] > 0 else "no arm is ahead in ranking so far; closest"
    pairs = max(c["n"] for c in others(verdict, "rank"))
    return (
        f"Keep cross-entropy for now: {plural(pairs, 'repeat')} cannot tell differences from chance, at least "
        f"{verdict['minimum_repeats']} are needed for a test ({lead}: {name(best)}, "
        f"{signed(best['mean'])} average precision)."
    )


def keep(verdict: dict[str, Any]) -> str:
    """Cross-entropy stays."""
    tune = " and tune the decision rule" if verdict["recommended"]["rule"] == "tuned" else ""
    mixed = [c for q in verdict["questions"] for c in others(verdict, q["name"]) if wins(c)]
    if mixed:  # better in one question and worse in the other
        names = listing(dict.fromkeys(name(c) for c in mixed))
        return f"Keep cross-entropy{tune}: {names} gain in one respect and lose in another (see the two questions)."
    if names := listing(name(c) for c in others(verdict, "decide") if c["overtaken"] and c["result"] == "better"):
        return (
            f"Keep cross-entropy with the default decision rule: tuning the rule made its decisions worse, and {names} "
            "with a tuned rule did better than that, but is not shown to do better than cross-entropy left alone."
        )
    best = closest(verdict, "rank")
    return (
        f"Keep cross-entropy{tune}: no other arm is shown to rank or to decide better "
        f"(closest in ranking: {name(best)}, {evidence(best, 'average_precision')})."
    )


def use(verdict: dict[str, Any]) -> str:
    """Another arm wins."""
    chosen = verdict["recommended"]
    won = [
        (q["name"], evidence(c, q["metric"]))
        for q in verdict["questions"]
        for c in others(verdict, q["name"])
        if c["arm"] == chosen["arm"] and wins(c)
    ]
    does = " and ".join(f"{question}s" for question, _ in won)
    rule = "a tuned" if chosen["rule"] == "tuned" else "the default"
    why = f"it {does} better than cross-entropy ({'; '.join(figure for _, figure in won)})"
    return f"Use {clean(chosen['title'])} with {rule} decision rule: {why}."


def sentences(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """What follows the headline and does not repeat it, the most useful first."""
    if not verdict["recommended"]:
        return missing(runs, verdict)
    if verdict["found"] is False:
        return [NO_SIGNAL, *certainty(runs, verdict), *missing(runs, verdict)]
    return [
        *(text for question in verdict["questions"] for text in beyond(verdict, question)),
        *tuning(verdict),
        *calibrated(verdict),
        *warnings(verdict),
        *certainty(runs, verdict),
        *missing(runs, verdict),
    ]


def beyond(verdict: dict[str, Any], question: dict[str, Any]) -> list[str]:
    """The answer to a question as far as the headline has not given it."""
    arm = verdict["recommended"]["arm"]
    if arm == BASELINE:
        return [] if question["name"] == "rank" else [question["answer"]]
    better = [c for c in question["comparisons"] if wins(c) and c["arm"] != BASELINE]
    if arm not in [c["arm"] for c in better]:
        return [question["answer"]]
    rest = gains([c for c in better if c["arm"] != arm], question["metric"])
    return [f"{question['name'].title()}s better than cross-entropy, too: {rest}."] if rest else []


def gains(better: list[dict[str, Any]], metric: str) -> str:
    return "; ".join(f"{name(c)} ({evidence(c, metric)})" for c in better)


def answer(question: dict[str, Any], signal: bool | None) -> str:
    """The answer to one of the two questions; without a ``signal`` no difference is worth acting on."""
    metric = question["metric"]
    start = "Ranking" if question["name"] == "rank" else "Deciding (every rule tuned)"
    entries = [c for c in question["comparisons"] if c["n"] and c["arm"] != BASELINE]
    better = sorted((c for c in entries if c["result"] == "better"), key=lambda c: -c["mean"])
    if not entries:
        return f"{start}: nothing to compare."
    if better:
        names = listing(name(c) for c in better if c["overtaken"])
        but = f"; but not shown to be better than cross-entropy at its default rule: {names}" if names else ""
        but = "; but no arm ranks above chance, so do not act on it" if signal is False else but
        return f"{start}: better than cross-entropy: {gains(better, metric)}{but}."
    best = max(entries, key=lambda c: float(c["mean"]))
    figures = f"{name(best)}, {evidence(best, metric)}"
    if all(c["result"] == "untested" for c in entries):
        lead = "the best so far is" if best["mean"] > 0 else "no arm is ahead so far, the closest is"
        return f"{start}: no test is possible; {lead} {figures}."
    return f"{start}: no arm is shown to be better; the closest is {figures}."


def tuning(verdict: dict[str, Any]) -> list[str]:
    """Whether tuning cross-entropy's rule is worth it; the sign is turned so that a gain of tuning is positive."""
    question = verdict["questions"][1]
    plain = next(c for c in question["comparisons"] if c["arm"] == BASELINE)
    if not plain["n"]:
        return []
    turned = {one: None if plain[end] is None else -plain[end] for one, end in (("low", "high"), ("high", "low"))}
    gain = evidence({**plain, "mean": -plain["mean"], **turned}, question["metric"])
    says = {
        "worse": "Tune the decision rule of cross-entropy on validation rows: it decides better than the default rule",
        "better": "Leave the decision rule of cross-entropy alone: tuning it made decisions worse",
        "untested": "Whether tuning the decision rule of cross-entropy pays cannot be tested yet",
    }.get(plain["result"], "Tuning the decision rule of cross-entropy is not shown to change its decisions")
    return [f"{says} ({gain})."]


def calibrated(verdict: dict[str, Any]) -> list[str]:
    """What another arm than cross-entropy does to the probabilities."""
    rows = {row["arm"]: row["calibration"]["log_loss"]["mean"] for row in verdict["table"]}
    if (arm := verdict["recommended"]["arm"]) == BASELINE:
        return []
    figures = f"log-loss {number(rows[arm])} against {number(rows[BASELINE])} of cross-entropy (less is better)"
    return [f"Its probabilities: {figures}; see the section on calibration before taking them at their word."]


def warnings(verdict: dict[str, Any]) -> list[str]:
    """The arms that are worse beyond doubt."""
    if not verdict["avoid"]:
        return []
    found: dict[str, list[str]] = {}
    for entry in verdict["avoid"]:
        why = f"{entry['question']}s worse, {signed(entry['mean'])} {NAMES[entry['metric']]}"
        found.setdefault(name(entry), []).append(why)
    return ["Avoid here: " + "; ".join(f"{title} ({' and '.join(said)})" for title, said in found.items()) + "."]


def certainty(runs: Runs, verdict: dict[str, Any]) -> list[str]:
    """How sure all this is, and how large a difference had to be to be found."""
    if not verdict["testable"]:
        return []
    tests = "tests corrected for their overlap (Nadeau-Bengio) and for the number of arms (Holm)"
    sure = f"How sure: {runs.repeats} repeated splits, {tests}."
    asked = [q for q in verdict["questions"] if q["detectable"] is not None and verdict["found"] is not False]
    sizes = " or ".join(f"{number(q['detectable'])} in {NAMES[q['metric']]}" for q in asked)
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


def others(verdict: dict[str, Any], question: str) -> list[dict[str, Any]]:
    """The comparisons of the other arms, without that of cross-entropy's two rules."""
    return [c for q in verdict["questions"] if q["name"] == question for c in q["comparisons"] if c["arm"] != BASELINE]


def wins(comparison: dict[str, Any]) -> bool:
    """Shown to be better, and not only than a cross-entropy that its own tuning has harmed."""
    return bool(comparison["result"] == "better" and not comparison["overtaken"])


def closest(verdict: dict[str, Any], question: str) -> dict[str, Any]:
    """The other arm with the largest mean difference."""
    return max((c for c in others(verdict, question) if c["n"]), key=lambda c: float(c["mean"]))


def name(comparison: dict[str, Any]) -> str:
    return clean(comparison["title"])


def listing(names: Iterable[str], most: int = 4) -> str:
    """Names in a sentence; past ``most`` only their number."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


def plural(count: int, word: str) -> str:
    """``1 repeat``, ``2 repeats``."""
    return f"{count} {word}{'' if count == 1 else 's'}"
