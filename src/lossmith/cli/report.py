"""``lossmith report``."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that lossmith compare has made.", show_default=False)
    ],
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict alone.")] = False,
) -> None:
    """Judge the results of an earlier comparison again, and write its reports anew; nothing is trained.

    Reads results.json in the folder and writes report.html, report.md and results.json, each whole or not at all. Exit
    codes: 0 done, 2 the folder cannot be used (nothing is written).
    """
    from lossmith.compare.environment import check_extra

    check_extra()
    from lossmith.compare.report import saved
    from lossmith.compare.report.terminal import show
    from lossmith.compare.session import Comparison
    from lossmith.files import home_expanded

    results, files = saved.rebuilt(folder)
    saved.save(folder, files)
    comparison = Comparison(results, home_expanded(folder))
    if quiet:
        print(comparison.verdict)
    else:
        show(comparison)
