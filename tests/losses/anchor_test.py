"""Two values or more of every loss worked out on paper, and the rule that none may come without them."""

import importlib
import math
from collections.abc import Sequence
from math import e, exp, log, pi, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch

from lossmith.flow.loss import registry
from tests.losses.oracle import REFERENCES, shipped

Anchor = tuple[dict[str, Any], Any, Any, float]
ROWS, LABELS = [[10.0, 8.0, 6.0], [7.0, 9.0, 5.0], [5.0, 4.0, 10.0]], [0, 1, 2]
TUTORIAL = (2 * log(1 + exp(-2) + exp(-4)) + log(1 + exp(-5) + exp(-6))) / 3  # .0983, not the .6135 of the tutorials
NINE = [[log(9.0), 0.0]]  # p = .9 for class 0, .1 for class 1

ANCHORS: dict[str, Sequence[Anchor]] = {
    "mse": [({}, [3.0], [1.0], 4.0), ({}, [1.0, -2.0], [0.5, 2.0], 8.125)],
    "rmse": [({}, [3.0, 4.0], [0.0, 0.0], sqrt(12.5)), ({}, [2.0], [-1.0], 3.0)],
    "mae": [({}, [3.0, -1.0], [1.0, 2.0], 2.5), ({}, [-3.0], [0.0], 3.0)],
    "huber": [
        ({}, [0.5], [0.0], 0.125),
        ({}, [3.0], [0.0], 2.5),
        ({"delta": 2.0}, [-5.0], [0.0], 8.0),
        ({"delta": 2.0}, [0.0], [2.0], 2.0),
    ],
    "smooth_l1": [
        ({}, [3.0], [0.0], 2.5),
        ({"beta": 2.0}, [-5.0], [0.0], 4.0),
        ({"beta": 0.5}, [0.25], [0.0], 0.0625),
        ({"beta": 0.0}, [0.25], [0.0], 0.25),
    ],
    "log_cosh": [
        ({}, [log(2.0)], [0.0], log(1.25)),  # cosh(log x) = (x + 1 / x) / 2
        ({}, [log(4.0)], [0.0], log(2.125)),
        ({}, [1000.0], [0.0], 1000 - log(2)),
    ],
    "quantile": [({"q": 0.9}, [0.0], [2.0], 1.8), ({"q": 0.9}, [2.0], [0.0], 0.2), ({}, [3.0], [0.0], 1.5)],
    "expectile": [({"tau": 0.75}, [0.0], [2.0], 3.0), ({"tau": 0.75}, [2.0], [0.0], 1.0), ({}, [3.0], [0.0], 4.5)],
    "mape": [({}, [3.0], [4.0], 0.25), ({}, [1.0], [-4.0], 1.25)],
    "smape": [({}, [3.0], [1.0], 1.0), ({}, [110.0], [100.0], 20 / 210), ({}, [1.0, 0.0], [-1.0, 0.0], 1.0)],
    "msle": [
        ({}, [e - 1], [0.0], 1.0),
        ({}, [3.0], [1.0], log(2) ** 2),
        ({}, [2.5, 5.0, 4.0, 8.0], [3.0, 5.0, 2.5, 7.0], 0.03973012298459379),  # scikit-learn's own example
    ],
    "poisson_nll": [
        ({}, [0.0], [3.0], 1.0),
        ({}, [1.0], [2.0], e - 2),
        ({"log_input": False}, [2.0], [1.0], 2 - log(2)),
        ({"full": True}, [0.0], [3.0], 1 + 3 * log(3) - 3 + log(6 * pi) / 2),
        ({"full": True}, [0.0], [1.0], 1.0),  # log 1! = 0: no Stirling at 1 or below
        ({"log_input": False, "eps": 1.0}, [0.0], [5.0], 0.0),
    ],
    "gaussian_nll": [
        ({}, ([3.0], [1.0]), [1.0], 2.0),
        ({}, ([1.0], [e]), [1.0], 0.5),
        ({}, ([3.0], [4.0]), [1.0], log(4) / 2 + 0.5),
        ({"full": True}, ([1.0], [1.0]), [1.0], log(2 * pi) / 2),
        ({"eps": 1.0}, ([2.0], [0.0]), [0.0], 2.0),
    ],
    "zero_one": [({}, [2.0, -1.0, 0.0, 0.5], [1.0, 1.0, 1.0, -1.0], 0.75), ({}, [1.0], [1.0], 0.0)],
    "hinge": [
        ({}, [0.25], [1.0], 0.75),
        ({}, [2.0], [-1.0], 3.0),
        ({}, [-2.18, 2.36, 0.09], [-1.0, 1.0, 1.0], 0.91 / 3),  # scikit-learn's own example
    ],
    "squared_hinge": [({}, [0.5], [1.0], 0.25), ({}, [2.0], [-1.0], 9.0), ({}, [3.0], [1.0], 0.0)],
    "perceptron": [({}, [0.25], [1.0], 0.0), ({}, [2.0], [-1.0], 2.0)],
    "exponential": [
        ({}, [0.0], [1.0], 1.0),
        ({}, [1.0], [-1.0], e),
        ({}, [-76.0], [1.0], 2 * exp(75)),
        ({}, [log(4.0)], [1.0], 0.25),
    ],
    "logistic": [({}, [0.0], [1.0], log(2)), ({}, [-200.0], [1.0], 200.0), ({}, [log(3.0)], [-1.0], log(4))],
    "cross_entropy": [
        ({}, ROWS, LABELS, TUTORIAL),
        ({}, [[0.0, 0.0, 0.0]], [1], log(3)),
        ({"link": "sigmoid", "pos_weight": 3.0}, [0.0, 0.0], [1.0, 0.0], 2 * log(2)),
    ],
    "nll": [({}, [[log(0.25), log(0.75)]], [1], log(4 / 3)), ({}, [[log(0.5), log(0.5)]], [0], log(2))],
    "log": [({}, ROWS, LABELS, TUTORIAL), ({"link": "prob"}, [[0.75, 0.25]], [1], log(4))],
    "bce": [({}, [0.25], [1.0], log(4)), ({}, [0.25], [0.0], log(4 / 3)), ({}, [0.5], [0.3], log(2))],
    "bce_with_logits": [
        ({}, [0.0], [1.0], log(2)),
        ({}, [200.0], [0.0], 200.0),
        ({}, [log(3.0)], [0.25], log(4) - log(3) / 4),
    ],
    "balanced_cross_entropy": [
        ({}, [0.0], [1.0], 0.75 * log(2)),
        ({"alpha": 0.9}, [0.0], [0.0], 0.1 * log(2)),
        ({}, [log(3.0)], [0.0], 0.25 * log(4)),
    ],
    "focal": [
        ({}, NINE, [0], 0.01 * -log(0.9)),  # the paper: 1/100 of cross-entropy at .9
        ({}, [[log(0.968 / 0.032), 0.0]], [0], 0.032**2 * -log(0.968)),  # and 1/1000 at .968
        ({}, [[0.0, 0.0]], [1], log(2) / 4),
        ({"gamma": 1.0}, NINE, [1], 0.9 * log(10)),
        ({"gamma": 0.0}, ROWS, LABELS, TUTORIAL),
        ({"gamma": 5.0, "link": "sigmoid", "alpha": 0.25}, [0.0], [1.0], log(2) / 128),
    ],
    "poly": [
        ({}, [[0.0, 0.0]], [0], log(2) + 0.5),
        ({"epsilon": -1.0}, [[0.0, log(3.0)]], [0], log(4) - 0.75),
        ({"epsilon": 2.0}, NINE, [0], -log(0.9) + 0.2),
    ],
    "generalized_cross_entropy": [
        ({"q": 0.5}, [[0.0, log(3.0)]], [0], 1.0),
        ({"q": 1.0}, [[0.0, log(3.0)]], [0], 0.75),
        ({}, NINE, [1], (1 - 0.1**0.7) / 0.7),
        ({}, NINE, [0], (1 - 0.9**0.7) / 0.7),
    ],
}


for file in Path(__file__).parent.glob("*_test.py"):  # the families whose tests hold their own
    module = importlib.import_module(f"tests.losses.{file.stem}") if file.stem != "anchor_test" else None
    ANCHORS.update(getattr(module, "ANCHORS", {}))
    REFERENCES.update(getattr(module, "REFERENCES", {}))


def tensor(values: Any) -> Any:
    return tuple(map(tensor, values)) if isinstance(values, tuple) else torch.tensor(values)


CASES = [(name, *anchor) for name, anchors in ANCHORS.items() for anchor in anchors]


@pytest.mark.parametrize(("name", "parameters", "input", "target", "value"), CASES)
def test_anchor(name: str, parameters: dict[str, Any], input: Any, target: Any, value: float) -> None:
    """Numbers that need no program: a factor, a sign, a lost constant or a swapped class would move them."""
    got = registry[name](**parameters)(tensor(input), None if target is None else tensor(target)).item()
    assert math.isclose(got, value, rel_tol=2e-6, abs_tol=1e-7)


@pytest.mark.parametrize("name", shipped())
def test_no_loss_without_anchors_and_an_oracle(name: str) -> None:
    """A loss that is added to the registry has to be worked out here as well."""
    assert len(ANCHORS.get(name, [])) >= 2, f"{name}: give it two values worked out by hand in ANCHORS"
    assert callable(REFERENCES.get(name)), f"{name}: write its formula, from its paper, into the oracle"


def test_the_tables_name_real_losses_only() -> None:
    assert set(ANCHORS) == set(REFERENCES) == set(shipped())
