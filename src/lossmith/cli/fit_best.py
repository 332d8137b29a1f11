"""``lossmith fit-best``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossmith.cli.ending import FAILED, leave

if TYPE_CHECKING:
    from lossmith.compare.saved.model import Model


def fit_best(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that lossmith compare has made.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="The folder for the model.")] = Path("model"),
    data: Annotated[
        Path | None,
        typer.Option(help="The table or folder that was compared on. [default: where it was then]", show_default=False),
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Its test table, if any. [default: where it was then]", show_default=False)
    ] = None,
    arm: Annotated[
        str | None, typer.Option(help="Another arm than the recommended one.", metavar="NAME", show_default=False)
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(help="default or tuned, instead of the recommended rule.", metavar="RULE", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Train the arm that a comparison recommends on all rows, and save it for lossmith predict.

    Exit codes: 0 done, 1 training failed, 2 something given cannot be used (nothing is written).
    """
    from lossmith.compare import fit_best as fitted
    from lossmith.compare.models.network import RunFailedError

    try:
        model = fitted(folder, out, data=data, test=test, arm=arm, rule=rule, force=force)
    except RunFailedError as error:
        leave(str(error), FAILED)
    if as_json:
        print(json.dumps({**model.about, "folder": str(out)}, indent=1, allow_nan=False))
    else:
        print(told(model, out))


def told(model: "Model", out: Path) -> str:
    """What was trained and where it is, for people."""
    from lossmith.text import clean

    about = model.about
    unit = "rounds" if "xgboost" in about["model"] or "lightgbm" in about["model"] else "epochs"
    epochs = ", ".join(map(str, about["epochs"]))
    noun, new = model.inputs.noun, "new-images" if model.inputs.noun == "images" else "new.csv"
    rule = "" if about["kind"] == "regression" else f", {about['rule']} decision rule"
    choice = "" if about["recommended"] else " (not the recommended arm)"
    return (
        f"{clean(about['title'])}{choice}: {clean(about['spec'], 200)}, {about['model']}{rule}\n"
        f"Trained on all {about['rows']:,} {noun} for {epochs} {unit}, to predict {clean(about['target'])}.\n"
        f"Saved in {clean(out, 200)}; use it: lossmith predict {clean(out, 200)} {new}"
    )
