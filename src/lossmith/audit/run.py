"""Run the checks over one loss, and gather what they found."""

import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

import torch

import lossmith.audit.checks  # noqa: F401  (fills CHECKS)
from lossmith.audit.case import Case, LossRaisedError, told, unsupported
from lossmith.audit.check import CHECKS, Check, MistakeError, NotApplicableError, Outcome, Status
from lossmith.audit.find import Found, find_kind
from lossmith.audit.target import Subject, subject_of
from lossmith.errors import SpecError
from lossmith.flow.parameter import nearest
from lossmith.text import clean

Progress = Callable[[int, int, str], None]
LONGEST = 400  # characters of what was seen


@dataclass(frozen=True)
class Audit:
    """What every check found about one loss."""

    loss: str
    kind: str
    layout: str
    found: str  # how the kind was found
    outcomes: tuple[Outcome, ...]

    def of(self, status: Status) -> list[Outcome]:
        """The outcomes of one status."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def failures(self) -> list[Outcome]:
        return self.of("fail")

    def __getitem__(self, name: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.name == name)

    def counts(self) -> dict[str, int]:
        return {status: len(self.of(status)) for status in ("pass", "fail", "not applicable")}

    def sentence(self) -> str:
        """The audit in one line."""
        n = self.counts()
        return f"{self.loss}: {n['pass']} passed, {n['fail']} failed, {n['not applicable']} not applicable"

    def document(self) -> dict[str, Any]:
        """Everything, as JSON holds it."""
        return asdict(self) | {"counts": self.counts()}


def audit(
    target: Any,
    kind: str | None = None,
    *,
    only: Collection[str] = (),
    progress: Progress | None = None,
) -> Audit:
    """Ask a loss every question that has a meaning for it.

    `target` is ``"package.module:Name(gamma=2)"``, ``"path/to/file.py:Name"``, a class, a function of ``(input,
    target)``, a factory without arguments, or an instance. `kind` is a name of `KINDS`; without it the loss says so
    itself (lossmith's own), or the layouts are tried. `only` names the checks to run.

    >>> audit(torch.nn.L1Loss, only=["broadcast_refused", "nothing_is_written"]).counts()
    {'pass': 1, 'fail': 1, 'not applicable': 0}

    Raises `SpecError` for a target that cannot be found or made, an unknown kind or check.
    """
    for name in only:
        if name not in CHECKS:
            raise SpecError(f"no check is named {name!r}{nearest(name, CHECKS)}")
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        subject = subject_of(target)
        found = find_kind(subject, kind)
        outcomes = tuple(_outcomes(subject, found, only, progress))
    return Audit(clean(subject.title, 200), found.kind.name, found.kind.layout, found.how, outcomes)


def _outcomes(subject: Subject, found: Found, only: Collection[str], progress: Progress | None) -> list[Outcome]:
    case = Case(subject, found.kind)
    checks = [c for c in CHECKS.values() if not only or c.name in only]
    outcomes: list[Outcome] = []
    broken = _broken(case)
    for k, one in enumerate(checks):
        if progress is not None:
            progress(k, len(checks), f"checking {one.name}")
        started = time.perf_counter()
        status, seen = ask(one, case) if not broken or one.name == FIRST else ("not applicable", broken)
        seen = clean(seen, LONGEST)
        outcomes.append(
            Outcome(one.name, one.theme, status, one.expects, seen, one.why, one.link, time.perf_counter() - started)
        )
    return outcomes


FIRST = "a_plain_batch_works"


def _broken(case: Case) -> str:
    """Why nothing can be asked of this loss; empty if it works on plain data."""
    status, seen = ask(CHECKS[FIRST], case)
    return f"it does not work on a plain batch: {seen}" if status == "fail" else ""


def ask(one: Check, case: Case) -> tuple[Status, str]:
    """One check's answer and what was seen, or why it has none."""
    if one.kinds and case.kind.name not in one.kinds:
        return "not applicable", f"for {', '.join(one.kinds)}; this loss is of kind {case.kind.name}"
    if one.gradient and not case.differentiable:
        return "not applicable", "a metric: it declares that it has no gradient"
    try:
        return "pass", one.run(case) or ""
    except NotApplicableError as reason:
        return "not applicable", str(reason)
    except MistakeError as seen:
        return "fail", str(seen)
    except LossRaisedError as raised:
        if unsupported(raised.error):
            return "not applicable", f"torch lacks an operation for this dtype: {told(raised.error)}"
        return "fail", str(raised)
    except Exception as error:  # what the loss returned did not fit the question: for a person to look at
        return "fail", f"the check could not be finished: {told(error)}"


def check_loss(loss: Any, kind: str | None = None, *, known: Collection[str] = ()) -> Audit:
    """Raise an `AssertionError` that names every check that fails; for a test, as scikit-learn's `check_estimator`.

    `known` names checks whose failure is accepted (what a loss does on purpose). Returns the audit.

    >>> check_loss(torch.nn.L1Loss, known=["broadcast_refused", "an_empty_batch"]).kind
    'regression'
    """
    found = audit(loss, kind)
    for name in known:
        if name not in CHECKS:
            raise SpecError(f"no check is named {name!r}{nearest(name, CHECKS)}")
    failures = [outcome for outcome in found.failures if outcome.name not in known]
    lines = [f"  {one.name}: expected {one.expected}; seen: {one.seen}\n    {one.why} {one.link}" for one in failures]
    if failures:
        raise AssertionError("\n".join([found.sentence(), *lines]))
    return found
