"""What a verdict asked, as a report shows it: the words of every question, and where its figures are in a record."""

from typing import Any

from lossmith.compare.problems.asked import Path
from lossmith.compare.verdict.inference import Estimate
from lossmith.compare.verdict.records import Runs, dig
from lossmith.compare.verdict.wording import NAMES, within

Question = dict[str, Any]

TITLES = {"rank": "Ranking", "decide": "Deciding", "trust": "Probabilities"}
WHY = {
    "average_precision": "Ranking asks whether likelier rows get higher probabilities, whatever the threshold.",
    "tuned": (
        "Every arm's rule is tuned in the same way on validation rows: one offset per class, added to log p before "
        "the most probable class is taken; of two classes, and of each label, that is a threshold. The default rule is "
        "not tuned."
    ),
}


def name(metric: str) -> str:
    """What a metric is called.

    >>> name("macro_f1"), name("pinball")
    ('macro-F1', 'pinball')
    """
    return NAMES.get(metric) or metric.replace("_", " ")


def heading(runs: Runs, question: Question) -> str:
    """The question as a person would ask it."""
    rule = " with a tuned rule" if question["rule"] == "tuned" else ""
    verb, _, rest = str(question["does"]).partition(" ")
    verb = "have" if verb == "has" else verb.removesuffix("s")
    return f"Does any arm {verb} {rest} than {runs.words.baseline}{rule}?"


def why(question: Question) -> str:
    """What the question is about, in a sentence or two."""
    told = WHY.get("tuned" if question["rule"] == "tuned" else question["metric"], "")
    return told or ("" if question["larger"] else f"Less {name(question['metric'])} is better.")


def title(question: Question) -> str:
    """The question in the list of sections."""
    return TITLES.get(question["name"]) or capital(name(question["metric"]))


def capital(words: str) -> str:
    """The words with a capital first letter and the others as they are.

    >>> capital("macro-F1"), capital("ROC-AUC")
    ('Macro-F1', 'ROC-AUC')
    """
    return words[:1].upper() + words[1:]


def path(question: Question, rule: str | None = None) -> Path:
    """Where the figure of a question is in a record; by another ``rule`` than its own where given."""
    return tuple(rule if rule and key == question["rule"] else key for key in question["path"])


def mean_of(runs: Runs, arm: str, where: Path) -> Estimate:
    """The mean of one figure of an arm, with an interval that ends where the metric does."""
    found: Estimate = within(runs.estimate(arm, where), where[-1])
    return found


def holders(runs: Runs, *where: str) -> list[str]:
    """The arms with a finished run that has this part."""
    return [
        arm for arm, found in runs.finished.items() if any(dig(record, where) is not None for record in found.values())
    ]
