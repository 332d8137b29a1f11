"""``lossmith diff``."""

import json
from pathlib import Path
from typing import Annotated

import typer


def diff(
    first: Annotated[
        Path, typer.Argument(metavar="DIR1", help="A folder that lossmith compare has made.", show_default=False)
    ],
    second: Annotated[Path, typer.Argument(metavar="DIR2", help="Another one, of later.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Say what changed between two comparisons: data, settings, arms, versions, verdicts, figures and times.

    Figures are paired over the repeats where both have the same data, seed and splits. Exit codes: 0 done, 2 a folder
    cannot be used.
    """
    from lossmith.compare.environment import check_extra

    check_extra()
    from lossmith.compare.report import saved, terminal_difference
    from lossmith.compare.report.difference import difference

    found = difference(saved.judged(first), saved.judged(second))
    if as_json:
        print(json.dumps(found, indent=1, allow_nan=False))
    else:
        terminal_difference.show(found, (first, second))
