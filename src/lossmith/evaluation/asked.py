"""What a user asked for, and whether it fits together."""

from dataclasses import dataclass

from lossmith.errors import InputError
from lossmith.text import listing, quote, suggestion

TASKS = ("classification", "regression", "text")
OF_TASK = {
    "score": "classification",
    "positive": "classification",
    "labels": "classification",
    "quantile": "regression",
    "lower": "regression",
    "tokenize": "text",
}
"""The options that one task alone understands; giving one says which task it is."""


@dataclass(frozen=True)
class Asked:
    """The columns and choices of one evaluation; labels are text, as they stand in the file."""

    target: str
    prediction: str
    score: tuple[str, ...] = ()
    task: str | None = None
    positive: str | None = None
    labels: tuple[str, ...] | None = None
    quantile: float | None = None
    lower: str | None = None
    upper: str | None = None
    tokenize: str | None = None

    @property
    def columns(self) -> list[str]:
        """Every column that is read, each once."""
        names = [self.target, self.prediction, *self.score, self.lower, self.upper]
        return list(dict.fromkeys(name for name in names if name is not None))

    @property
    def given(self) -> dict[str, str]:
        """The options that are given and belong to one task, with that task."""
        return {name: task for name, task in OF_TASK.items() if getattr(self, name) not in (None, ())}

    def check(self) -> None:
        """Refuse, in one sentence, what can be refused before the table is read."""
        if self.task is not None and self.task not in TASKS:
            hint = suggestion(self.task, TASKS) or "."
            raise InputError(f"task must be {', '.join(TASKS[:-1])} or {TASKS[-1]}, not {quote(self.task)}{hint}")
        if self.target == self.prediction:
            raise InputError(f"target and prediction are both {quote(self.target)}; name two columns.")
        if (self.lower is None) != (self.upper is None):
            raise InputError("an interval has two ends; give both lower and upper.")
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise InputError(f"quantile must be between 0 and 1, not {self.quantile:g}.")
        twice = {name for names in (self.score, self.labels or ()) for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"{listing(sorted(twice))} is given twice; give each score column and each label once.")
        if self.labels is not None and len(self.labels) < 2:
            raise InputError(f"labels must be at least two, not {listing(self.labels) or 'none'}.")
        if self.task:
            self.check_for(self.task)
        elif len(set(self.given.values())) > 1:
            uses = " and ".join(f"{name} for {task}" for name, task in self.given.items())
            raise InputError(f"options of different tasks are given, {uses}; give those of one task.")

    def check_for(self, task: str) -> None:
        """No option of another task."""
        for name, owner in self.given.items():
            if owner != task:
                raise InputError(f"{name} is for {owner}, but the task is {task}; leave it out, or give another task.")
