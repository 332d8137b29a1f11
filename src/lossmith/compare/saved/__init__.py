"""From a verdict to a model: the winning arm trained on all rows, kept in a folder, and used on new rows.

What is heavy is imported inside the functions.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossmith.compare.saved.model import Model


def fit_best(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    data: Any = None,
    test: Any = None,
    arm: str | None = None,
    rule: str | None = None,
    force: bool = False,
) -> "Model":
    """Train the arm that a comparison recommends, once more and on all of its rows.

    Training needs to know when to stop: a part of the rows is held out once, training on the others finds the number of
    epochs (of trees: rounds), and the decision rule and the calibration come from the part held out, too. The model
    is then trained from the start on all rows for that many epochs.

    Parameters
    ----------
    folder
        The folder that the comparison has written, with its ``results.json``.
    out
        Where to save the model (see `Model.save`); a folder that is there is refused without ``force``.
    data, test
        The same table (and the same test table) or folder of images as in the comparison: needed where it was not read
        from a file, or where that is elsewhere now.
    arm
        Another arm than the recommended one, by its name.
    rule
        ``"default"`` or ``"tuned"``, where it should be another decision rule than the recommended one.

    Raises
    ------
    InputError
        Where the results cannot be used (those of masks and of your own model among them), the data are others, or the
        model cannot be saved, in one sentence.
    """
    from lossmith.compare.environment import check_extra

    check_extra()
    from lossmith.compare.saved import folder as folders
    from lossmith.compare.saved.refit import refit

    if out is not None:
        folders.check_place(out, force)
    model = refit(folder, data, test, arm, rule)
    if out is not None:
        folders.save(model, out, force)
    return model


def load_model(folder: str | Path) -> "Model":
    """The model in a folder that ``lossmith fit-best`` has made; it runs no code of the folder.

    Raises
    ------
    InputError
        Where the folder holds no such model, in one sentence.
    """
    from lossmith.compare.environment import check_extra

    check_extra()
    from lossmith.compare.saved import folder as folders

    return folders.load(folder)
