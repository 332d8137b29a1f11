"""What is predicted: how a problem's outputs are trained on, scored, measured, and what a verdict asks about them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lossmith.compare.problems.problem import Problem
    from lossmith.compare.settings import Training


def problem_of(training: "Training") -> "Problem":
    """The problem of a comparison; loads what it computes with."""
    from lossmith.compare.problems.classification import Classification, Segmentation
    from lossmith.compare.problems.multilabel import Multilabel
    from lossmith.compare.problems.regression import Regression

    kinds: dict[str, type[Problem]] = {
        "regression": Regression,
        "multilabel": Multilabel,
        "segmentation": Segmentation,
    }
    return kinds.get(training.problem, Classification)(training)
