"""What a loss is, when to use it, what is true of it, and its picture: `lossmith.plot` and ``lossmith show``.

``properties`` defines what can be true of a loss, ``axes`` knows what each family is drawn over, ``picture`` draws,
``document`` collects what is known of a loss, and ``report`` shows it in a terminal or as a page.
"""

from typing import Any

from lossmith.explanation.subjects import Subjects


def plot(
    loss: Subjects, *more: Subjects, ax: Any = None, span: tuple[float, float] | None = None, **values: Any
) -> Any:
    """The picture of a loss, or of several in one: the formula and its derivative over what it is a formula of.

    That is the residual, the margin, the probability of the target (with the derivative in its logit), a critic's
    score, a distance ...; overlap losses are surfaces over precision and recall, at a mask of 100 pixels. Losses are
    given as such, as classes or as specifications, parameters as a value or a list of values, each a curve of its own:
    ``lossmith.plot("focal", gamma=[0, 0.5, 1, 2, 5])``. `ax` is one matplotlib Axes, for the values, or two, for values
    and derivatives; without it there is a new figure. `span` is the (low, high) end of the axis, of the logit where
    that is a probability. Returns the matplotlib ``Figure``; ``.savefig("focal.png")`` writes it.

    >>> figure = plot("focal", gamma=[0, 2])
    >>> [line.get_label() for line in figure.axes[0].lines[:2]]
    ['focal(gamma=0)', 'focal(gamma=2)']

    Raises `InputError` for losses that have no axis, or none together, `SpecError` and `ParameterError` for what does
    not exist, `MissingError` without matplotlib (``pip install "lossmith[plot]"``).
    """
    from lossmith.explanation import picture, subjects

    return picture.draw(subjects.subjects([loss, *more], values), ax, span)
