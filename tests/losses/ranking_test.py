"""Smooth average precision against loops in 160 digits and scikit-learn."""

from collections.abc import Callable
from math import exp
from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

import lossmith
from lossmith.errors import DomainError, LossmithError, ParameterError, ShapeError
from tests.losses.oracle import agree, exact, gradient, mp, with_gradient

SURE = 1 / (1 + exp(-1.0))  # ahead by one temperature
ANCHORS = {
    "smooth_ap": [
        ({}, [0.9, 0.6, 0.3], [1.0, 0.0, 1.0], 1 / 6),
        ({}, [0.5, 0.5], [1.0, 0.0], 1 / 3),
        ({"temperature": 1.0}, [1.0, 0.0], [1.0, 0.0], (1 - SURE) / (2 - SURE)),
        (
            {"temperature": 1.0},
            [0.0, 1.0, 0.0],
            [1.0, 1.0, 0.0],
            (0.5 / (1.5 + SURE) + (1 - SURE) / (3 - 2 * SURE)) / 2,
        ),
        ({}, [[0.9, 0.1], [0.5, 0.7]], [[0.0, 0.0], [1.0, 1.0]], 1 / 4),  # two columns: 1/2 and 0
        ({}, [[0.9, 0.1], [0.5, 0.7]], [[0.0, 0.0], [1.0, 0.0]], 1 / 2),  # a column without a relevant item
        ({}, [0.3, 0.2], [0.0, 0.0], 0.0),
        ({}, [0.3, 0.2], [1.0, 1.0], 0.0),
    ],
}


def smooth_ap(s: list[Any], relevant: list[int], temperature: float) -> Any:
    """Brown et al. 2020, eq. 7, its D_ij being s_j - s_i, and 1 minus it."""

    def ahead(i: int, j: int) -> Any:
        return 1 / (1 + mp.exp((s[i] - s[j]) / mp.mpf(temperature)))

    ours = [i for i, r in enumerate(relevant) if r]
    rest = [i for i, r in enumerate(relevant) if not r]
    total = mp.mpf(0)
    for i in ours:
        rank = 1 + mp.fsum(ahead(i, j) for j in ours if j != i)
        total += rank / (rank + mp.fsum(ahead(i, j) for j in rest))
    return 1 - total / len(ours)


REFERENCES: dict[str, Callable[..., Any]] = {"smooth_ap": smooth_ap}


def scores(seed: int = 0, units: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(units, generator=generator, dtype=torch.float64)
    return x, (torch.rand(units, generator=generator) < 0.4).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_value_and_gradient(scale: float, temperature: float, dtype: torch.dtype) -> None:
    x, y = scores()
    x = (x * scale).to(dtype)
    x[3] = x[2]  # a tie
    relevant = [int(v) for v in y]
    value, slopes = with_gradient(lossmith.SmoothAPLoss(temperature=temperature), x, y)
    answer = smooth_ap(exact(x), relevant, temperature)
    agree(value, [(answer, answer, mp.mpf(1))])
    wants = gradient(lambda v: smooth_ap(v, relevant, temperature), x)
    room = (1 + mp.mpf(scale) / mp.mpf(temperature)) / mp.mpf(temperature)  # of x / temperature, rounded
    agree(slopes, [(w, w, room) for w in wants])


@pytest.mark.parametrize("seed", range(5))
def test_sklearn(seed: int) -> None:
    """Towards temperature 0, where no scores are equal; labels as columns are its "macro"."""
    x, y = scores(seed, 60)
    loss = lossmith.SmoothAPLoss(temperature=1e-6)
    assert loss(x, y).item() == pytest.approx(1 - average_precision_score(y, x), rel=1e-9)
    x, y = x.view(20, 3), y.view(20, 3)
    assert loss(x, y).item() == pytest.approx(1 - average_precision_score(y, x, average="macro"), rel=1e-9)


def test_a_relevant_item_is_pulled_up_and_another_down() -> None:
    _, slopes = with_gradient(lossmith.SmoothAPLoss(), torch.tensor([0.50, 0.51, 0.52]), torch.tensor([1.0, 0.0, 0.0]))
    assert slopes[0] < 0 < slopes[1:].min()
    assert slopes.sum().item() == pytest.approx(0, abs=1e-6)


def test_nothing_relevant_costs_nothing() -> None:
    for x, y in (
        (torch.randn(4, 2), torch.zeros(4, 2)),
        (torch.zeros(0, 2), torch.zeros(0, 2)),
        (torch.ones(1), torch.ones(1)),
    ):
        value, slopes = with_gradient(lossmith.SmoothAPLoss(), x, y)
        assert value.item() == 0
        assert (slopes == 0).all()


def test_hidden_items_are_in_no_ranking() -> None:
    """Of a column alone as well, and labels of -1 by ignore_index."""
    x, y = scores(1, 24)
    x, y = x.view(8, 3), y.view(8, 3).long()
    keep = torch.rand(8, 3, generator=torch.Generator().manual_seed(2)) < 0.7
    loss = lossmith.SmoothAPLoss(temperature=0.3)
    columns = [loss(x[keep[:, k], k], y[keep[:, k], k]) for k in range(3)]
    want = torch.stack(columns).mean()
    torch.testing.assert_close(loss(x.where(keep, torch.tensor(float("nan"))), y, mask=keep), want)
    marked = y.where(keep, torch.tensor(-1))
    torch.testing.assert_close(lossmith.SmoothAPLoss(temperature=0.3, ignore_index=-1)(x, marked), want)


def test_the_value_of_an_item_is_its_share() -> None:
    x, y = scores()
    none = lossmith.SmoothAPLoss(reduction="none")(x, y)
    assert ((none > 0) <= (y > 0)).all()
    torch.testing.assert_close(none.sum(), lossmith.SmoothAPLoss()(x, y))


X, Y = torch.tensor([0.5, 0.25]), torch.tensor([1.0, 0.5])
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.SmoothAPLoss()(X, Y),
        DomainError,
        "SmoothAPLoss: target must be 0 or 1 (an item is relevant or not; graded relevance has no average precision); "
        "1 of 2 is not, first 0.5",
    ),
    (
        lambda: lossmith.SmoothAPLoss()(X[:, None], Y),
        ShapeError,
        "SmoothAPLoss: input and target must have the same shape; input has [2, 1] and target [2]",
    ),
    (
        lambda: lossmith.SmoothAPLoss(temperature=-1.0),
        ParameterError,
        "SmoothAPLoss: temperature must be a number, greater than 0, not -1.0",
    ),
]


@pytest.mark.parametrize(("call", "kind", "sentence"), SENTENCES)
def test_sentence(call: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
