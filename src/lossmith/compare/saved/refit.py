"""The recommended arm of a comparison, trained on all of its rows."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lossmith.compare.call import task_of, training_of
from lossmith.compare.data.load import Roles, Room
from lossmith.compare.data.pictures import is_folder
from lossmith.compare.data.task import Task
from lossmith.compare.environment import versions
from lossmith.compare.models import network
from lossmith.compare.models.fitted import Fitted, Prepared
from lossmith.compare.problems import problem_of
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.arms import NO_GRID, Arm, points
from lossmith.compare.remedies.choice import check_arms
from lossmith.compare.report import saved
from lossmith.compare.runs.prepare import Arrays, splitter_of
from lossmith.compare.runs.train import Repeat
from lossmith.compare.saved.inputs import inputs_in
from lossmith.compare.saved.model import Model
from lossmith.compare.settings import TREES, Settings, Training, choose, models_of
from lossmith.compare.verdict.judge import RULES, better_rule
from lossmith.compare.verdict.records import Runs
from lossmith.errors import InputError
from lossmith.extras import extra
from lossmith.text import clean, listing, quote, suggestion

LABEL_SEPARATOR = "|"
TRAINED = ("table", "images")  # what `models_of` knows models of that are trained here
CERTAIN = 0.5  # the probability above which a label is there by default


@dataclass(frozen=True)
class Choice:
    """What a comparison says to train: the arm, which of its tries was chosen most often, and the rule to decide by."""

    arm: Arm
    attempt: int
    rule: str
    spec: str
    params: dict[str, float]


def refit(
    folder: str | Path, data: Any = None, test: Any = None, arm: str | None = None, rule: str | None = None
) -> Model:
    """The model of the recommended arm and rule (or of others) of the comparison in a folder."""
    results = saved.judged(folder)
    check_kind(results["settings"])
    name = arm_name(results, arm)
    with saved.sentence(folder):
        choice, settings, roles = choice_of(results, name), settings_of(results), roles_of(results)
    if rule is not None:
        check_rule(rule, results["task"]["kind"])
        choice = replace(choice, rule=rule)
    task = same_task(results, roles, data, test)
    training = replace(training_of(settings, task), slices=())
    check_arms([choice.arm], problem_of(training))
    with alone():
        held_out = HeldOut(task.arrays, training)
        first = held_out.fit(choice.arm, choice.attempt)
        found = rule_of(held_out, first, choice)
        whole = Whole(task.arrays, training, held_out.lengths)
        final = whole.fit(choice.arm, choice.attempt)
    return Model(
        about=about(results, task, roles, choice, held_out.lengths),
        training=training,
        inputs=inputs_in(task, whole.encoders, roles.text_model),
        rule=found,
        outputs=whole.problem.outputs * (1 + len(choice.arm.also)),
        scale=whole.prepared.scale,
        centre=whole.prepared.centre,
        states=final.state if isinstance(final.state, list) else [final.state],
    )


def check_kind(settings: dict[str, Any]) -> None:
    """The comparison was of a built-in model that predicts rows or images as a whole."""
    inputs = settings.get("inputs")
    if inputs not in TRAINED or settings.get("model") not in models_of(inputs):
        what = "masks" if inputs == "masks" else "a model of your own"
        said = "fit-best trains the built-in models of tables and of whole images"
        raise InputError(f"{said}; this comparison was of {what}.")


class HeldOut(Repeat):
    """All rows but a part held out, which says for how many epochs each model is best trained."""

    def __init__(self, arrays: Arrays, training: Training) -> None:
        super().__init__(arrays, training, 0, held_out_parts(arrays, training))
        self.lengths: list[int] = []

    def fit_on(self, prepared: Prepared, arm: Arm, attempt: int, found: tuple[int, int]) -> Fitted:
        """One model; its number of epochs is kept."""
        fitted = super().fit_on(prepared, arm, attempt, found)
        self.lengths.append(fitted.epochs)
        return fitted


class Whole(Repeat):
    """All rows to train on, for numbers of epochs that are known: one for each model that is trained."""

    def __init__(self, arrays: Arrays, training: Training, lengths: Sequence[int]) -> None:
        rows = np.arange(len(arrays["targets"]))
        super().__init__(arrays, training, 0, {"train": rows, "validation": rows[:1], "test": rows[:1]})
        self.lengths: Iterator[int] = iter(lengths)
        self.length = 0

    def fit_on(self, prepared: Prepared, arm: Arm, attempt: int, found: tuple[int, int]) -> Fitted:
        """One model, trained for the next of the lengths."""
        self.length = next(self.lengths)
        self.training = replace(self.training, epochs=self.length)
        return super().fit_on(prepared, arm, attempt, found)

    def scoring(self, prepared: Prepared) -> network.Scoring:
        """Nothing is measured; the last epoch is the best."""
        return Until(self.length)


class Until:
    """A score that rises with every epoch (of trees: round) up to the last one that is wanted.

    >>> score = Until(2).score
    >>> [score(torch.zeros(1), "validation") for _ in range(3)]
    [1.0, 2.0, 2.0]
    """

    outputs = 1

    def __init__(self, last: int) -> None:
        self.last, self.epochs = last, 0

    def score(self, outputs: Tensor, part: str) -> float:
        """How many epochs there have been, and at most ``last``."""
        self.epochs = min(self.epochs + 1, self.last)
        return float(self.epochs)


def held_out_parts(arrays: Arrays, training: Training) -> dict[str, Any]:
    """The validation rows of the first split are held out; in the order of time, the last window."""
    timed = "times" in arrays
    train, validation, test = splitter_of(arrays, training).rows(training.windows - 1 if timed else 0)
    more, out = (validation, test) if timed else (test, validation)
    return {"train": np.sort(np.concatenate([train, more])), "validation": out, "test": out}


def rule_of(held_out: HeldOut, first: Fitted, choice: Choice) -> dict[str, Any]:
    """How outputs become predictions, from the rows held out; the default rule ignores these but for calibration."""
    problem = held_out.problem
    found: dict[str, Any] = {
        **problem.measure(held_out.prepared, first.outputs, choice.arm)["rule"],
        "name": choice.rule,
    }
    if choice.rule == "default" and found["kind"] == "offsets":
        found["values"] = rules.default_offsets(problem.training.costs, problem.outputs).tolist()
    if choice.rule == "default" and found["kind"] == "thresholds":
        found["values"] = [CERTAIN] * problem.outputs
    return found


def check_rule(rule: str, kind: str) -> None:
    """There is such a rule; numbers are not decided."""
    choose("rule", rule, RULES)
    if kind == "regression":
        raise InputError("numbers are predicted as they are, without a decision rule; leave --rule out.")


def arm_name(results: dict[str, Any], asked: str | None) -> str:
    """The arm that is asked for, or the recommended one; it has a finished run."""
    recommended = results["verdict"]["recommended"]
    known = [str(arm["name"]) for arm in results["arms"]]
    if asked is not None and asked not in known:
        hint = suggestion(asked, known) or f"; the arms are {listing(known)}."
        raise InputError(f"the comparison has no arm {quote(asked)}{hint}")
    name = asked or (recommended or {}).get("arm")
    if name is None:
        raise InputError(
            "the comparison recommends no arm, as its baseline never finished; compare again, or give --arm."
        )
    if not Runs(results).finished[name]:
        raise InputError(f"arm {quote(name)} has no finished run, so nothing is known of it; give another --arm.")
    return str(name)


def choice_of(results: dict[str, Any], name: str) -> Choice:
    """The arm as the results describe it, with the parameters that were chosen most often."""
    runs, recommended = Runs(results), results["verdict"]["recommended"]
    best, _ = runs.chosen(name)[0]
    attempt = next(iter(runs.finished[name].values()))["tries"].index(best)
    rule = recommended["rule"] if recommended and recommended["arm"] == name else better_rule(results["verdict"], name)
    words = next(arm for arm in results["arms"] if arm["name"] == name)
    known = {field.name: words[field.name] for field in fields(Arm) if field.name in words}
    grid = points(**words["grid"]) if words["grid"] else NO_GRID
    arm = Arm(**{**known, "also": tuple(known.get("also", ())), "grid": grid})
    return Choice(arm, attempt, rule, best["spec"], best["params"])


def settings_of(results: dict[str, Any]) -> Settings:
    """What the comparison was asked for."""
    return Settings(**{field.name: results["settings"][field.name] for field in fields(Settings)})


def roles_of(results: dict[str, Any]) -> Roles:
    """What columns were for."""
    given = results["task"].get("origin", {}).get("roles", {})
    return Roles(**{**given, "slices": tuple(given.get("slices", ()))})


def same_task(results: dict[str, Any], roles: Roles, data: Any, test: Any) -> Task:
    """The task of the comparison from its table or images, which have to be the same to the last cell and pixel."""
    known, origin = results["task"], results["task"].get("origin", {})
    given = origin.get("path") if data is None else data
    if given is None:
        raise InputError("the comparison was not made from a file; give the same table as --data.")
    tested = origin.get("test") if test is None else test
    targets = None if is_folder(given) else origin.get("targets") or [known["target"]]
    task = task_of(given, targets, None, roles, tested, size_of(origin), room_of(results))
    if task.digest != known.get("digest"):
        shown = clean(given, 200) if isinstance(given, str | Path) else "the table"
        images = "does not have the images that were compared on, or they have changed"
        table = "is not the table that was compared on, or has changed"
        raise InputError(f"{shown} {table if task.inputs == 'table' else images}; compare again, or give --data.")
    return task


def size_of(origin: dict[str, Any]) -> int | None:
    """What images were brought to; None of a table."""
    size = origin.get("size")
    if size is not None and not isinstance(size, int):
        raise InputError(f"results.json is damaged (the size of its images is {quote(size)}); compare again.")
    return size


def room_of(results: dict[str, Any]) -> Room | None:
    """What led to the sample that was compared on, so that the same rows are drawn; None where all rows were taken."""
    sampled, settings = results["task"].get("sampled"), results["settings"]
    return None if sampled is None else Room(sampled["bytes_bound"], settings["jobs"], settings["seed"])


def about(results: dict[str, Any], task: Task, roles: Roles, choice: Choice, lengths: list[int]) -> dict[str, Any]:
    """What the model is."""
    verdict = results["verdict"]
    model = results["settings"]["model"]
    library = {model: str(extra(model, "boosting").__version__)} if model in TREES else {}
    return {
        "kind": task.goal.kind,
        "target": task.target,
        "classes": task.classes,
        "positive": task.positive,
        "separator": roles.separator or LABEL_SEPARATOR,
        "text_model": roles.text_model,
        "arm": choice.arm.name,
        "title": choice.arm.title,
        "spec": choice.spec,
        "params": choice.params,
        "rule": choice.rule,
        "recommended": (verdict["recommended"] or {}).get("arm") == choice.arm.name,
        "headline": verdict["headline"],
        "model": model,
        "epochs": lengths,
        "rows": len(task.labels),
        "digest": task.digest,
        "versions": {**versions(), **library},
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@contextmanager
def alone() -> Generator[None]:
    """One thread, as in a comparison's workers, and no trace in the generator of random numbers."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)
