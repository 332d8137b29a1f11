"""``lossmith audit``."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lossmith.cli.ending import FAILED, save
from lossmith.cli.following import following
from lossmith.errors import InputError


def audit(
    target: Annotated[
        str | None,
        typer.Argument(
            help='A loss: "package.module:Class(gamma=2)", a function of (input, target), path/to/file.py:Name, or one '
            'of lossmith\'s own, such as "focal(gamma=2)".',
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="softmax, sigmoid, regression, overlap, ... [default: found by trying]", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write one offline page to this file, too.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print one line and the failures, and no progress.")] = False,
    everything: Annotated[bool, typer.Option("--list", help="List all checks with their explanations.")] = False,
) -> None:
    """Ask a loss, anybody's, what a loss should get right, and name what it gets wrong.

    Importing the loss runs its module; its parameters are parsed, never evaluated. Exit codes: 0 nothing fails, 1 a
    check fails, 2 something given cannot be used (nothing is written).
    """
    from lossmith.audit import report, run

    if everything == (target is not None):
        raise InputError("give one loss to audit, or --list.")
    if html is not None and not html.expanduser().parent.is_dir():
        raise InputError(f"{html} cannot be written: there is no such folder; give another --html.")
    if target is None:
        report.catalogue()
        return
    with following(quiet) as progress:
        found = run.audit(audited(target), kind, progress=progress)
    if html is not None:
        save(html, report.page(found), "--html")
    if as_json:
        print(json.dumps(found.document(), indent=1))
    elif quiet:
        print("\n".join([found.sentence(), *(f"{one.name}: {one.seen}" for one in found.failures)]))
    else:
        report.show(found)
    raise typer.Exit(FAILED if found.failures else 0)


def audited(target: str) -> Any:
    """A specification of lossmith's own is made here; anything with a colon or a file is the audit's to find."""
    if ":" in target or target.endswith(".py"):
        return target
    from lossmith.spec import create

    return create(target)
