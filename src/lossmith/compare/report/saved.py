"""The results of an earlier comparison, read back from its folder: data only, and checked before anything uses them."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lossmith.compare.report.html import render
from lossmith.compare.report.markdown import markdown
from lossmith.compare.verdict.judge import judge
from lossmith.errors import InputError
from lossmith.files import home_expanded, write_text
from lossmith.text import as_clause, clean, quote

Results = dict[str, Any]

NAME = "results.json"
LARGEST = 1 << 30  # bytes; a comparison of 15 arms and 100 repeats has some 50 MB
PARTS: dict[str, type] = {
    "version": str,
    "settings": dict,
    "task": dict,
    "arms": list,
    "records": list,
    "status": str,
    "environment": dict,
}
OF_A_TASK = ("source", "target", "rows")
OF_AN_ARM = ("name", "title")
OF_A_RECORD = ("arm", "repeat", "status", "reason", "time")
MOST = {"arms": 1000, "records": 1_000_000}


def read(folder: str | Path) -> Results:
    """The results in a folder that ``lossmith compare`` has made.

    Raises
    ------
    InputError
        Where they are absent, too large, damaged or not of ``lossmith compare``, in one sentence.
    """
    path = home_expanded(folder) / NAME
    text = content(path)
    try:
        results = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{clean(path, 200)} is damaged: it is no JSON ({as_clause(error)}); compare again."
        ) from error
    if fault := what_is_wrong(results):
        raise InputError(f"{clean(path, 200)} is not what lossmith compare writes: {fault}; compare again.")
    found: Results = results
    return found


def content(path: Path) -> str:
    """The text of a results file of a bearable size."""
    shown, made = clean(path, 200), "give a folder that lossmith compare has made"
    if not path.parent.is_dir():
        raise InputError(f"{clean(path.parent, 200)} is no folder; {made}.")
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{clean(path.parent, 200)} has no {NAME}; {made}.")
    if (size := path.stat().st_size) > LARGEST:
        raise InputError(f"{shown} has {size:,} bytes, and more than {LARGEST:,} are not read; {made}.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown} cannot be read: {as_clause(error)}; {made}.") from error


def refuse_constant(name: str) -> float:
    """NaN and infinity are not written by us."""
    raise ValueError(f"{name} is no number of JSON")


def what_is_wrong(results: Any) -> str:
    """In a few words what results lack; nothing where they are whole."""
    if not isinstance(results, dict):
        return "it is no object"
    wrong = [name for name, kind in PARTS.items() if not isinstance(results.get(name), kind)]
    if wrong:
        return f"its {quote(wrong[0])} is missing or of another kind"
    if any(len(results[name]) > most for name, most in MOST.items()) or not results["arms"]:
        return "it has no arms, or too many arms or records"
    if not whole_settings(results["settings"]):
        return "its settings have no number of repeats"
    lists = [("task", [results["task"]], OF_A_TASK), ("arm", results["arms"], OF_AN_ARM)]
    for what, entries, keys in (*lists, ("record", results["records"], OF_A_RECORD)):
        if any(not isinstance(entry, dict) or not entry.keys() >= set(keys) for entry in entries):
            return f"{'its task' if what == 'task' else f'one {what}'} lacks one of {', '.join(keys)}"
    return ""


def whole_settings(settings: Results) -> bool:
    """Whether the settings say how many repeats there are."""
    repeats = settings.get("repeats")
    return isinstance(repeats, int) and not isinstance(repeats, bool) and repeats >= 1


def judged(folder: str | Path) -> Results:
    """The results with a verdict by this version.

    Raises
    ------
    InputError
        As `read`, and where a record lacks what a verdict needs.
    """
    results = read(folder)
    with sentence(folder):
        return results | {"verdict": judge(results)}


def rebuilt(folder: str | Path) -> tuple[Results, dict[str, str]]:
    """The results judged again, and the text of every file that is made of them, by name.

    Raises
    ------
    InputError
        As `judged`.
    """
    results = judged(folder)
    with sentence(folder):
        return results, written(results)


@contextmanager
def sentence(folder: str | Path) -> Generator[None]:
    """One sentence for whatever a damaged record makes of the work inside."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        what = f"{type(error).__name__}: {as_clause(error)}"
        path = clean(home_expanded(folder) / NAME, 200)
        raise InputError(f"{path} is damaged: it cannot be judged ({what}); compare again.") from error


def written(results: Results) -> dict[str, str]:
    """The text of every file of a report, by name."""
    return {
        NAME: json.dumps(results, indent=1, allow_nan=False) + "\n",
        "report.html": render(results),
        "report.md": markdown(results),
    }


def save(folder: str | Path, files: dict[str, str]) -> None:
    """Every file whole or not at all; all texts are there before the first is written."""
    for name, text in files.items():
        try:
            write_text(home_expanded(folder) / name, text)
        except OSError as error:
            shown, reason = clean(folder, 200), error.strerror or error
            raise InputError(f"{shown} cannot be written: {reason}; give a folder that can be written.") from error
