"""The sentences of a bench: what to try first over many data sets, and how sure that is. Plain text.

``verdict`` holds ``questions`` (see `judge`), ``judged`` (data sets with figures), ``planned`` (all data sets),
``failed`` (names with their sentences), ``apart`` (names that ask something else), ``waiting``, and ``words`` (what
the baseline is called in a sentence).
"""

from typing import Any

from lossmith.compare.many.findings import INSTEAD, TUNED
from lossmith.compare.verdict.wording import NAMES, listing, number, p_value, plural, signed
from lossmith.text import clean

Entry = dict[str, Any]
Question = dict[str, Any]
Verdict = dict[str, Any]


def headline(verdict: Verdict) -> str:
    """The one sentence at the top."""
    over = f"Over {plural(verdict['judged'], 'data set')}"
    if not verdict["judged"]:
        return f"No verdict: none of the {plural(verdict['planned'], 'data set')} has a finished comparison."
    asked = decisive(verdict)
    if not any(entry["n"] for question in asked for entry in others(question)):
        return f"No verdict: there is no other arm to compare with {verdict['words']}."
    if verdict["judged"] < verdict["fewest"]:
        return untested(verdict)
    won = [(question, entry) for question in reversed(asked) for entry in better(question)]
    if not won:
        return f"{over} {nothing(verdict)}"
    whole = [(question, entry) for question, entry in won if not loses(verdict, entry["arm"])]
    question, entry = (whole or won)[0]
    lost = "" if whole else f", but {loses(verdict, entry['arm'])}"
    if question is not asked[-1]:
        lead = f"nothing {asked[-1]['does']} than {baseline(verdict, asked[-1])}, but {clean(entry['title'])}"
        return f"{over} {lead} {question['does']}{lost} ({evidence(entry, question)})."
    harmed = ", which tuning had made worse" if rule_result(verdict) == "better" else ""
    lead = f"try {clean(entry['title'])} first: it {question['does']} than {baseline(verdict, question)}{harmed}"
    return f"{over}, {lead}{lost} ({evidence(entry, question)})."


def nothing(verdict: Verdict) -> str:
    """No other arm is shown to be better."""
    question = decisive(verdict)[-1]
    metrics = " or ".join(NAMES[one["metric"]] for one in decisive(verdict))
    said = {
        "worse": f"nothing beats {baseline(verdict, question)}",
        "better": f"nothing beats {verdict['words']}, and its decision rule is best left alone",
        "unclear": f"nothing beats {verdict['words']}, and tuning its decision rule is not shown to pay",
    }.get(rule_result(verdict), f"nothing beats {verdict['words']}")
    near = closest(question)
    return f"{said}: no other loss is shown to be better in {metrics} (closest: {named(near, question)})."


def untested(verdict: Verdict) -> str:
    """Too few data sets for any test."""
    question = decisive(verdict)[-1]
    return (
        f"No verdict yet: {plural(verdict['judged'], 'data set')} cannot tell losses apart, at least "
        f"{verdict['fewest']} are needed for a test (the best so far: {named(closest(question), question)})."
    )


def sentences(verdict: Verdict) -> list[str]:
    """What follows the headline, the most useful first."""
    if not verdict["judged"]:
        return missing(verdict)
    told = [rule_sentence(verdict), instead(verdict), *(gains(verdict, q) for q in decisive(verdict))]
    told += [warning(verdict), *(differing(q) for q in decisive(verdict)), certainty(verdict)]
    return [sentence for sentence in told if sentence] + missing(verdict)


def rule_sentence(verdict: Verdict) -> str:
    """Whether tuning the baseline's rule pays; the sign is turned so that a gain of tuning is positive."""
    entry, question = plain_rule(verdict)
    if entry is None or question is None or not entry["n"]:
        return ""
    signs = entry["signs"]
    gain = -entry["median"]
    said = {
        "worse": f"Tune the decision rule first: {verdict['words']} decides better with a tuned rule",
        "better": f"Leave the decision rule of {verdict['words']} alone: tuning it made decisions worse",
        "untested": f"Whether tuning the decision rule of {verdict['words']} pays cannot be tested yet",
    }.get(entry["result"], f"Tuning the decision rule of {verdict['words']} is not shown to change its decisions")
    p = f", p {p_value(entry['p_holm'])} after Holm" if entry["p_holm"] is not None else ""
    counts = f"better on {signs['worse']} of {plural(entry['n'], 'data set')}"
    return f"{said} (median {signed(gain)} {NAMES[question['metric']]}, {counts}{p})."


def instead(verdict: Verdict) -> str:
    """Whether changing the loss can replace tuning the rule."""
    question = next((q for q in verdict["questions"] if q["name"] == INSTEAD), None)
    if question is None or verdict["judged"] < verdict["fewest"] or not others(question):
        return ""
    start, against = question["start"], baseline(verdict, question)
    if won := better(question):
        figures = "; ".join(named(entry, question) for entry in won[:3])
        return f"{start} can pay: better than {against} at their default rules are {figures}."
    entries = [entry for entry in others(question) if entry["n"]]
    worse = sum(entry["result"] == "worse" for entry in entries)
    return (
        f"{start} is not shown to pay: of {len(entries)} arms at their default rules "
        f"none is shown to decide better than {against}, {worse} to decide worse "
        f"(closest: {named(closest(question), question)})."
    )


def gains(verdict: Verdict, question: Question) -> str:
    """Every arm that is shown to be better."""
    won = better(question)
    if not won:
        return ""
    figures = "; ".join(named(entry, question) for entry in won)
    return f"{question['start']}: better than {baseline(verdict, question)}: {figures}."


def warning(verdict: Verdict) -> str:
    """The arms that are shown to be worse."""
    found: dict[str, list[str]] = {}
    for question in decisive(verdict):
        for entry in others(question):
            if entry["result"] == "worse":
                why = f"{question['fails']}, median {signed(entry['median'])} {NAMES[question['metric']]}"
                found.setdefault(clean(entry["title"]), []).append(why)
    return (
        "Shown to be worse: " + "; ".join(f"{k} ({' and '.join(v)})" for k, v in found.items()) + "." if found else ""
    )


def differing(question: Question) -> str:
    """What Friedman's test says of all entrants of a question, and how far apart ranks must be."""
    ranks = question["ranks"]
    test = ranks["friedman"]
    if test is None:
        return ""
    f = "infinite" if test["f"] is None else number(test["f"], 2)
    return (
        f"{question['start']}, all entrants at once: Friedman chi-square {number(test['chi2'], 2)}, Iman-Davenport F "
        f"{f}, p {p_value(test['p_f'])}; average ranks over {plural(ranks['datasets'], 'data set')} differ from "
        f"{number(ranks['critical_difference'], 2)} on (Nemenyi)."
    )


def certainty(verdict: Verdict) -> str:
    """What the tests rest on."""
    if verdict["judged"] < verdict["fewest"]:
        return ""
    return (
        f"How sure: {verdict['judged']} data sets are the observations; Wilcoxon's signed-rank test against "
        f"{verdict['words']}, corrected for the number of entrants (Holm). It speaks of data sets like these."
    )


def missing(verdict: Verdict) -> list[str]:
    """Data sets that are not in the figures, and entrants that are not on all of them."""
    told = []
    if verdict["failed"]:
        names = listing(clean(name) for name in verdict["failed"])
        told.append(
            f"{len(verdict['failed'])} of {plural(verdict['planned'], 'data set')} could not be compared ({names})."
        )
    if verdict["apart"]:
        names = listing(clean(name) for name in verdict["apart"])
        told.append(f"Left out, because another kind of target asks other questions: {names}.")
    left = {name: None for q in decisive(verdict) for name in q["ranks"]["left_out"]}
    if left:
        told.append(
            f"The ranks leave out {plural(len(left), 'data set')} that some arm has not finished: {listing(left)}."
        )
    if verdict["waiting"]:
        told.append(
            f"This is a partial result: {len(verdict['waiting'])} of {plural(verdict['planned'], 'data set')} "
            "have not been finished yet; the same command goes on."
        )
    return told


def decisive(verdict: Verdict) -> list[Question]:
    """The questions that recommend; the last is in the metric that the user chose."""
    return [question for question in verdict["questions"] if question["decisive"]]


def others(question: Question) -> list[Entry]:
    """The comparisons of the other arms, without that of the baseline's two rules."""
    return [entry for entry in question["comparisons"] if entry["arm"] != question["baseline"]]


def better(question: Question) -> list[Entry]:
    """The other arms that are shown to be better, the largest gain first."""
    won = [entry for entry in others(question) if entry["result"] == "better"]
    return sorted(won, key=lambda entry: -gain_of(entry, question))


def closest(question: Question) -> Entry:
    """The other arm with the largest median gain."""
    return max((entry for entry in others(question) if entry["n"]), key=lambda entry: gain_of(entry, question))


def gain_of(entry: Entry, question: Question) -> float:
    """The median difference, positive where the entrant is better."""
    return float(entry["median"] if question["larger"] else -entry["median"])


def loses(verdict: Verdict, arm: str) -> str:
    """What an arm is shown to do worse than the baseline, in words; nothing if nothing."""
    fails = [q["fails"] for q in decisive(verdict) for e in others(q) if e["arm"] == arm and e["result"] == "worse"]
    return " and ".join(fails)


def plain_rule(verdict: Verdict) -> tuple[Entry | None, Question | None]:
    """The comparison of the baseline's default rule with its tuned one."""
    for question in decisive(verdict):
        for entry in question["comparisons"]:
            if question["rule"] == TUNED and entry["arm"] == question["baseline"]:
                return entry, question
    return None, None


def rule_result(verdict: Verdict) -> str:
    """What is shown of the baseline's default rule."""
    entry, _ = plain_rule(verdict)
    return str(entry["result"]) if entry else ""


def baseline(verdict: Verdict, question: Question) -> str:
    """The baseline with its rule, as the reference of a question."""
    return f"{verdict['words']} with a tuned rule" if question["rule"] == TUNED else str(verdict["words"])


def named(entry: Entry, question: Question) -> str:
    """An entrant with its figures."""
    return f"{clean(entry['title'])}, {evidence(entry, question)}"


def evidence(entry: Entry, question: Question) -> str:
    """``median +0.004 macro-F1, better on 25 of 44, p = 0.31 after Holm``."""
    p = f", p {p_value(entry['p_holm'])} after Holm" if entry["p_holm"] is not None else ""
    figure = f"median {signed(entry['median'])} {NAMES[question['metric']]}"
    return f"{figure}, better on {entry['signs']['better']} of {entry['n']}{p}"
