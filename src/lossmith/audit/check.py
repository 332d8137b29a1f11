"""A check: a small, named question to a loss, with what is expected, why it matters, and where to read more."""

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lossmith.audit.case import Case

Status = Literal["pass", "fail", "not applicable"]
Run = Callable[["Case"], str | None]

ISSUE = "https://github.com/"


class MistakeError(Exception):
    """The answer is wrong; the message is what was seen, and the mistake's name where it is known."""


class NotApplicableError(Exception):
    """The question has no meaning for this loss; the message is why."""


@dataclass(frozen=True)
class Check:
    """A question and its explanation; `run` returns a remark or nothing, or raises one of the two errors above."""

    name: str
    theme: str
    kinds: tuple[str, ...]  # empty: all
    expects: str
    why: str
    link: str
    gradient: bool  # whether it asks for a gradient
    run: Run


@dataclass(frozen=True)
class Outcome:
    """What a check found: its answer, what was expected and seen, and how long it took in seconds."""

    name: str
    theme: str
    status: Status
    expected: str
    seen: str
    why: str
    link: str
    seconds: float


CHECKS: dict[str, Check] = {}  # name -> check, in the order of the report; `checks/` fills it


def check(
    *kinds: str, expects: str, why: str, link: str, gradient: bool = False, name: str | None = None
) -> Callable[[Run], Run]:
    """Enter a function in the list of checks, under its own name; without `kinds` it is asked of every loss."""

    def enter(run: Run) -> Run:
        function = run.func if isinstance(run, functools.partial) else run
        own = name or function.__name__
        if own in CHECKS:
            raise ValueError(f"there is a check named {own!r} already")
        theme = (sys.modules[function.__module__].__doc__ or "").partition(":")[0]
        CHECKS[own] = Check(own, theme, kinds, expects, why, _address(link), gradient, run)
        return run

    return enter


def _address(link: str) -> str:
    """``owner/name#12`` is an issue or pull request, ``arXiv 1708.02002`` a paper; anything else is an address."""
    if link.startswith("arXiv "):
        return f"https://arxiv.org/abs/{link.removeprefix('arXiv ')}"
    if "#" in link and "://" not in link:
        repository, _, number = link.partition("#")
        return f"{ISSUE}{repository}/issues/{number}"
    return link
