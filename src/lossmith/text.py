"""Names that come from a user's table, made safe for a terminal and a sentence."""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping

LONGEST_NAME = 60


def clean(text: object, longest: int = LONGEST_NAME) -> str:
    """Text without control and direction-changing characters, and not longer than a line.

    >>> clean("a\\x1b[31mb")
    'a[31mb'
    """
    kept = "".join(letter for letter in str(text) if unicodedata.category(letter) not in ("Cc", "Cf", "Cs"))
    return kept if len(kept) <= longest else kept[: longest - 3] + "..."


def quote(text: object) -> str:
    """A cleaned name in double quotes, as the error messages show it."""
    return f'"{clean(text)}"'


def listing(names: Iterable[object], most: int = 5) -> str:
    """Several names in one sentence; past ``most`` only their number.

    >>> listing(["a", "b", "c"], most=2)
    '"a", "b" and 1 more'
    """
    quoted = [quote(name) for name in names]
    shown = ", ".join(quoted[:most])
    return shown if len(quoted) <= most else f"{shown} and {len(quoted) - most} more"


def as_clause(text: object) -> str:
    """What a library said, without its full stop, for the inside of a sentence."""
    return clean(text, 200).strip().rstrip(".")


def suggestion(name: str, known: Iterable[str], shown: Mapping[str, str] | None = None) -> str:
    """``; did you mean "x"?`` where one of the known names is near, else nothing; ``shown`` may say more of it."""
    spelled = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), list(spelled), n=1, cutoff=0.66)
    found = spelled[near[0]] if near else ""
    return f"; did you mean {quote((shown or {}).get(found, found))}?" if near else ""
