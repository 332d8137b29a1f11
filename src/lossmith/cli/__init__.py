"""The command line. What is heavy is imported inside the commands, so that ``lossmith --help`` is quick."""

import signal
import sys
from collections.abc import Sequence
from typing import Annotated

from lossmith import __version__
from lossmith.errors import LossmithError

try:
    import typer
except ModuleNotFoundError:  # the losses need torch alone; the command line comes with the extra
    sys.stderr.write('The command line needs more packages: pip install "lossmith[compare]"\n')
    raise SystemExit(2) from None

from lossmith.cli.audit import audit
from lossmith.cli.bench import bench
from lossmith.cli.compare import compare
from lossmith.cli.diff import diff
from lossmith.cli.ending import INTERRUPTED, MISUSED, leave
from lossmith.cli.evaluate import evaluate
from lossmith.cli.fit import fit
from lossmith.cli.fit_best import fit_best
from lossmith.cli.listing import list_losses
from lossmith.cli.predict import predict
from lossmith.cli.report import report
from lossmith.cli.show import show

TABLE_ENDINGS = (".csv", ".tsv", ".parquet")
SEVERAL = {"compare": ("--losses", "--target")}  # options that take several words, by command

app = typer.Typer(
    name="lossmith",
    help="Training losses that are correct and fast, and an honest answer to which one your data needs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """The entry point: one sentence and exit code 2 for bad input, 1 for failed work, 130 for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(args=spread(sys.argv[1:]), standalone_mode=True)
    except LossmithError as error:
        leave(str(error), MISUSED)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lossmith"):
            raise
        leave(f'{error.name} is not installed: pip install "lossmith[compare]"', MISUSED)
    except KeyboardInterrupt:
        leave("interrupted", INTERRUPTED)


def spread(words: Sequence[str]) -> list[str]:
    """Let one ``--losses`` or ``--target`` take several words, up to the next option or table.

    >>> spread(["compare", "--losses", "focal", "poly", "data.csv"])
    ['compare', '--losses', 'focal', '--losses', 'poly', 'data.csv']
    """
    several = SEVERAL.get(words[0] if words else "", ("--losses",))
    result: list[str] = []
    taking = ""
    for word in (part for given in words for part in apart(given, several)):
        taking = "" if word.startswith("--") or word.lower().endswith(TABLE_ENDINGS) else taking
        if taking and result[-1] != taking:
            result.append(taking)
        result.append(word)
        taking = word if word in several else taking
    return result


def apart(word: str, several: Sequence[str]) -> list[str]:
    """``--losses=focal`` as its two words, so that more may follow it; any other word as it is."""
    name, equals, value = word.partition("=")
    return [name, value] if name in several and equals else [word]


def show_version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        print(f"lossmith {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Training losses that are correct and fast, and an honest answer to which one your data needs."""


for command in (compare, report, diff, fit_best, predict, bench, evaluate, audit, fit):
    app.command()(command)
app.command("list")(list_losses)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(show)
