"""How good are these predictions? ``lossmith.evaluate("preds.csv", target="y", prediction="yhat")`` answers."""

from lossmith.evaluation.session import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
