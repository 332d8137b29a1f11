"""``lossmith show``."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from lossmith.cli.ending import save
from lossmith.errors import InputError

OPTIONS = ("html", "json", "quiet", "help")


def show(
    context: typer.Context,
    loss: Annotated[
        str,
        typer.Argument(help='A name, a specification such as "0.7*focal + 0.3*poly", or path/to/file.py:Name.'),
    ],
    html: Annotated[Path | None, typer.Option(help="Write one offline page to this file, with the picture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print one line.")] = False,
) -> None:
    """Say what a loss is, when to use it and when not, what is true of it, and show its picture.

    Any parameter of the loss is an option that takes one value or several, a curve for each: --gamma 0,0.5,1,2,5. Exit
    codes: 0 done, 2 something given cannot be used (nothing is written).
    """
    if loss.startswith("--"):
        raise InputError(f"the loss comes first, then {loss}: lossmith show focal --gamma 0,1,2.")
    if html is not None and html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html {html} must end in .html.")
    if html is not None and not html.expanduser().parent.is_dir():
        raise InputError(f"{html} cannot be written: there is no such folder; give another --html.")
    words = pairs(context.args)

    from lossmith.explanation import document, report, subjects

    found = document.explain(loss, {name: subjects.read(text) for name, text in words.items()})
    if html is not None:
        save(html, report.page(found), "--html")
    if as_json:
        print(json.dumps(found.data(), indent=1))
    elif quiet:
        print(report.quiet(found))
    else:
        report.show(found)


def pairs(words: Sequence[str]) -> dict[str, str]:
    """The options that typer does not know, which are parameters of the loss: each with its values.

    >>> pairs(["--gamma", "0,1", "--gamma-neg=-1"])
    {'gamma': '0,1', 'gamma_neg': '-1'}
    """
    found: dict[str, str] = {}
    rest: list[Any] = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise InputError(f'"{word}" is one word too many: a specification with spaces needs quotes.')
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{word} needs a value, or several: {word} 0,1,2.")
            value = rest.pop(0)
        if name.replace("-", "_") in found:
            raise InputError(f"--{name} is given twice: write its values behind each other, --{name} 0,1,2.")
        found[name.replace("-", "_")] = value
    return found
