"""Activations: torch's are torch's, ours are right, and every number of the comparison is held against mpmath."""

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mpmath import MPContext
from torch import Tensor, nn
from torch.nn import functional

from lossmith import activations
from lossmith.activations import Maxout, Row, hardmax, measure
from lossmith.errors import DtypeError, ParameterError, ShapeError

INF = float("inf")
PAGE = Path(__file__).parent.parent / "docs" / "activations.md"


class TestTorchs:
    def test_what_torch_has_is_torchs(self) -> None:
        for name in nn.modules.activation.__all__:
            if name != "MultiheadAttention":
                assert getattr(activations, name) is getattr(nn, name)
                assert name in dir(activations)

    @pytest.mark.parametrize("name", ["relu", "gelu", "silu", "leaky_relu", "log_softmax", "logsigmoid", "tanh", "glu"])
    def test_functions_too(self, name: str) -> None:
        assert getattr(activations, name) is getattr(functional, name)
        assert name in dir(activations)

    @pytest.mark.parametrize("name", ["MultiheadAttention", "relu_", "linear", "cross_entropy", "Relu", "F"])
    def test_nothing_else(self, name: str) -> None:
        with pytest.raises(AttributeError, match=name):
            getattr(activations, name)
        assert name not in dir(activations)


class TestMaxout:
    def test_by_hand(self) -> None:
        z = torch.tensor([[1.0, 5.0, 2.0, -3.0, -2.0, -4.0]])
        assert Maxout(2)(z).tolist() == [[5.0, 2.0, -2.0]]
        assert Maxout(pieces=3)(z).tolist() == [[5.0, -2.0]]
        assert Maxout(6)(z).tolist() == [[5.0]]
        assert torch.equal(Maxout(1)(z), z)

    def test_it_learns_the_absolute_value_and_relu(self) -> None:
        """Section 4 of the paper: two pieces make |x| and relu, exactly."""
        x = torch.linspace(-3, 3, 13)[:, None]
        for weight, want in (([[1.0], [-1.0]], x.abs()), ([[1.0], [0.0]], x.relu())):
            layer = nn.Sequential(nn.Linear(1, 2, bias=False), Maxout())
            with torch.no_grad():
                layer[0].weight.copy_(torch.tensor(weight))
            assert torch.equal(layer(x), want)

    def test_the_layer_of_the_paper(self) -> None:
        """h_i(x) = max_j x^T W[:, i, j] + b[i, j], one unit and one piece after the other."""
        torch.manual_seed(0)
        linear, x = nn.Linear(4, 3 * 5), torch.randn(7, 4)
        got = nn.Sequential(linear, Maxout(5))(x)
        for i in range(3):
            pieces = [x @ linear.weight[5 * i + j] + linear.bias[5 * i + j] for j in range(5)]
            torch.testing.assert_close(got[:, i], torch.stack(pieces).max(0).values)

    def test_it_pools_channels(self) -> None:
        x = torch.randn(2, 6, 4, 5)
        pooled = functional.max_pool3d(x[:, None], (3, 1, 1))[:, 0]
        for dim in (1, -3):
            assert torch.equal(Maxout(3, dim=dim)(x), pooled)

    def test_gradient(self) -> None:
        x = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(Maxout(3), (x,))
        assert torch.autograd.gradgradcheck(Maxout(3), (x,))
        tied = torch.tensor([2.0, 2.0, 1.0, -3.0, 7.0, 7.0, 7.0, 7.0], requires_grad=True)
        (gradient,) = torch.autograd.grad(Maxout(4)(tied).sum(), tied)
        assert gradient.tolist() == [0.5, 0.5, 0, 0, 0.25, 0.25, 0.25, 0.25]

    def test_dtypes_empty_batches_nan_and_transforms(self) -> None:
        x = torch.randn(4, 6)
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            assert Maxout()(x.to(dtype)).dtype == dtype
        assert Maxout()(x[:0]).shape == (0, 3)
        assert Maxout()(torch.tensor([float("nan"), 1.0, 2.0, 1.0])).isnan().tolist() == [True, False]
        assert torch.equal(torch.vmap(Maxout(3))(x), Maxout(3)(x))
        compiled = torch.compile(Maxout(3), fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(x), Maxout(3)(x))
        assert repr(pickle.loads(pickle.dumps(Maxout(3, 1)))) == "Maxout(pieces=3, dim=1)"  # noqa: S301

    @pytest.mark.parametrize("pieces", [0, -2, 2.0, True, "two", None])
    def test_wrong_pieces(self, pieces: Any) -> None:
        with pytest.raises(ParameterError, match="Maxout: pieces must be"):
            Maxout(pieces)

    def test_wrong_input(self) -> None:
        with pytest.raises(ParameterError, match=r"Maxout: dim must be a whole number, not 0\.5"):
            Maxout(2, dim=0.5)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match=r"multiple of pieces = 4 long; it has shape \[2, 6\]"):
            Maxout(4)(torch.ones(2, 6))
        with pytest.raises(ShapeError, match=r"must have an axis 2; it has shape \[2, 6\]"):
            Maxout(2, dim=2)(torch.ones(2, 6))
        with pytest.raises(DtypeError, match="input must be floating point; it is int64"):
            Maxout(2)(torch.ones(2, 6, dtype=torch.int64))
        with pytest.raises(DtypeError, match="must be a torch tensor"):
            Maxout(2)([1.0, 2.0])  # type: ignore[arg-type]


class TestHardmax:
    def test_by_hand(self) -> None:
        x = torch.tensor([[1.0, 3.0, 2.0], [0.0, -1.0, -2.0]])
        assert hardmax(x).tolist() == [[0, 1, 0], [1, 0, 0]]
        assert hardmax(x, dim=0).tolist() == [[1, 1, 1], [0, 0, 0]]

    def test_the_first_of_several(self) -> None:
        x = torch.tensor([[2.0, 5.0, 5.0, 5.0], [-INF, -INF, -INF, -INF], [0.0, -0.0, 0.0, -0.0]])
        assert hardmax(x).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
        assert hardmax(x.T, dim=0).T.tolist() == hardmax(x).tolist()
        assert hardmax(torch.zeros(1000)).argmax() == 0

    def test_nan_counts_as_the_largest(self) -> None:
        assert hardmax(torch.tensor([9.0, float("nan"), 1.0])).tolist() == [0, 1, 0]

    def test_it_is_the_limit_of_softmax(self) -> None:
        x = torch.randn(5, 4, 3, dtype=torch.float64)
        for dim in (0, 1, 2, -1):
            torch.testing.assert_close(hardmax(x, dim=dim), torch.softmax(x * 1e6, dim))

    def test_no_gradient_comes_through(self) -> None:
        x = torch.randn(4, 3, requires_grad=True)
        assert not hardmax(x).requires_grad
        (gradient,) = torch.autograd.grad((hardmax(x) * x).sum(), x)
        assert torch.equal(gradient, hardmax(x))  # the other factor's alone
        with pytest.raises(RuntimeError, match="does not require grad"):
            hardmax(x).sum().backward()

    def test_dtypes_and_transforms(self) -> None:
        x = torch.randn(4, 6)
        for dtype in (torch.float16, torch.bfloat16, torch.float64):
            assert hardmax(x.to(dtype)).dtype == dtype
        assert hardmax(x[:0]).shape == (0, 6)
        assert torch.equal(torch.vmap(hardmax)(x), hardmax(x))
        assert torch.equal(torch.compile(hardmax, fullgraph=True, backend="aot_eager")(x), hardmax(x))

    def test_wrong_input(self) -> None:
        with pytest.raises(ShapeError, match="no largest of nothing"):
            hardmax(torch.ones(3, 0))
        with pytest.raises(ShapeError, match=r"must have an axis -1; it has shape \[\]"):
            hardmax(torch.tensor(1.0))
        with pytest.raises(DtypeError, match="hardmax: input must be floating point"):
            hardmax(torch.arange(3))
        with pytest.raises(ParameterError, match="hardmax: dim must be a whole number"):
            hardmax(torch.ones(3), dim=None)  # type: ignore[arg-type]


# The comparison: closed forms as the papers print them, at 50 digits ------------------------------------------------
mp = MPContext()
mp.dps = 50
SCALE = mp.mpf("1.0507009873554804934193349852946")  # Klambauer et al. (2017), arXiv 1706.02515
ALPHA = mp.mpf("1.6732632423543772848170429916717")
RANDOM = (mp.mpf(1) / 8 + mp.mpf(1) / 3) / 2  # RReLU's slope in evaluation


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def softplus(x: Any) -> Any:
    return mp.log1p(mp.exp(x))


def mish(x: Any) -> Any:
    return x * mp.tanh(softplus(x))


def silu(x: Any) -> Any:
    return x * sigmoid(x)


def gelu(x: Any) -> Any:
    return x * mp.ncdf(x)


def hardsigmoid(x: Any) -> Any:
    return min(max(x + 3, 0), 6) / 6


def at(function: Callable[[Any], Any], order: int, guess: float) -> Any:
    """A derivative's value where the next one is 0, near a guess."""
    where = mp.findroot(lambda x: mp.diff(function, x, order + 1), guess)
    return mp.diff(function, where, order)


def falls_to(function: Callable[[Any], Any], slope: float, guess: float) -> Any:
    return mp.findroot(lambda x: mp.diff(function, x) - mp.mpf(slope), guess)


def elu(x: Any, alpha: Any = 1) -> Any:
    return x if x > 0 else alpha * mp.expm1(x)


def hard_shrink(x: Any) -> Any:
    return x if abs(x) > 0.5 else mp.mpf(0)


def soft_shrink(x: Any) -> Any:
    return mp.sign(x) * max(abs(x) - 0.5, 0)


@dataclass
class Known:
    """What is known of an activation: spans as (bracket, low, high, bracket), ends as (start, slope exactly 0)."""

    formula: Callable[[Any], Any]
    range: tuple[Any, ...]
    slope: tuple[Any, ...]
    left: Any = None
    right: Any = None
    monotone: str = "rising"
    kinks: list[float] = field(default_factory=list)
    mean: Any = None  # by default the integral over x
    elementwise: bool = True


def steps(low: Any, high: Any) -> tuple[Any, ...]:
    return ("{", low, high, "}")


LINE, LOGIT = ("(", -INF, INF, ")"), (-mp.log(99), False)  # sigmoid(x) = 0.01
S_END = (falls_to(sigmoid, 0.01, 4.6), False)
TANH_END = (mp.atanh(mp.sqrt(0.99)), False)
BELL, SIGMOID = ("(", 0, 0.25, "]"), ("(", 0, 1, ")")
RELU = {"range": ("[", 0, INF, ")"), "slope": steps(0, 1), "left": (0, True), "kinks": [0]}


def axis(**known: Any) -> Known:
    """Known of an activation along an axis of two, y held."""
    return Known(lambda x: None, elementwise=False, **known)


KNOWN = {
    "CELU": Known(elu, ("(", -1, INF, ")"), ("(", 0, 1, "]"), (mp.log(0.01), False), kinks=[0]),
    "ELU": Known(elu, ("(", -1, INF, ")"), ("(", 0, 1, "]"), (mp.log(0.01), False), kinks=[0]),
    "GELU": Known(
        gelu,
        ("[", at(gelu, 0, -0.75), INF, ")"),
        ("[", mp.diff(gelu, -mp.sqrt(2)), mp.diff(gelu, mp.sqrt(2)), "]"),
        (falls_to(gelu, -0.01, -3), False),
        monotone="no",
    ),
    "Hardshrink": Known(hard_shrink, LINE, steps(0, 1), kinks=[-0.5, 0.5]),
    "Hardsigmoid": Known(hardsigmoid, ("[", 0, 1, "]"), steps(0, mp.mpf(1) / 6), (-3, True), (3, True), kinks=[-3, 3]),
    "Hardswish": Known(
        lambda x: x * hardsigmoid(x),
        ("[", -0.375, INF, ")"),
        ("[", -0.5, 1.5, "]"),
        (-3, True),
        monotone="no",
        kinks=[-3, 3],
    ),
    "Hardtanh": Known(
        lambda x: min(max(x, -1), 1), ("[", -1, 1, "]"), steps(0, 1), (-1, True), (1, True), kinks=[-1, 1]
    ),
    "LeakyReLU": Known(lambda x: x if x > 0 else x / 100, LINE, steps(0.01, 1), kinks=[0]),
    "LogSigmoid": Known(lambda x: -softplus(-x), ("(", -INF, 0, ")"), SIGMOID, right=(mp.log(99), False)),
    "Mish": Known(
        mish,
        ("[", at(mish, 0, -1.2), INF, ")"),
        ("[", at(mish, 1, -2.3), at(mish, 1, 1.5), "]"),
        (falls_to(mish, -0.01, -6), False),
        monotone="no",
    ),
    "PReLU": Known(lambda x: x if x > 0 else x / 4, LINE, steps(0.25, 1), kinks=[0]),
    "ReLU": Known(lambda x: max(x, 0), **RELU),
    "ReLU6": Known(lambda x: min(max(x, 0), 6), ("[", 0, 6, "]"), steps(0, 1), (0, True), (6, True), kinks=[0, 6]),
    "RReLU": Known(lambda x: x if x > 0 else RANDOM * x, LINE, steps(RANDOM, 1), kinks=[0]),
    "SELU": Known(
        lambda x: SCALE * elu(x, ALPHA),
        ("(", -SCALE * ALPHA, INF, ")"),
        ("(", 0, SCALE * ALPHA, "]"),
        (mp.log(0.01 / (SCALE * ALPHA)), False),
        kinks=[0],
    ),
    "Sigmoid": Known(sigmoid, SIGMOID, BELL, (-S_END[0], False), S_END),
    "SiLU": Known(
        silu,
        ("[", at(silu, 0, -1.3), INF, ")"),
        ("[", at(silu, 1, -2.4), at(silu, 1, 2.4), "]"),
        (falls_to(silu, -0.01, -6), False),
        monotone="no",
    ),
    "Softplus": Known(softplus, ("(", 0, INF, ")"), SIGMOID, LOGIT),
    "Softshrink": Known(soft_shrink, LINE, steps(0, 1), kinks=[-0.5, 0.5]),
    "Softsign": Known(lambda x: x / (1 + abs(x)), ("(", -1, 1, ")"), ("(", 0, 1, "]"), (-9, False), (9, False)),
    "Tanh": Known(mp.tanh, ("(", -1, 1, ")"), ("(", 0, 1, "]"), (-TANH_END[0], False), TANH_END),
    "Tanhshrink": Known(lambda x: x - mp.tanh(x), LINE, ("[", 0, 1, ")")),
    "Threshold": Known(lambda x: max(x, 0), **RELU),
    "GLU": axis(range=LINE, slope=SIGMOID, mean=0),
    "hardmax": axis(range=steps(0, 1), slope=steps(0, 0), left=(INF, True), right=(-INF, True), mean=0.5),
    "LogSoftmax": axis(
        range=("(", -INF, 0, ")"),
        slope=SIGMOID,
        right=(mp.log(99), False),
        mean=mp.quad(lambda d: -softplus(d) * mp.npdf(d, 0, mp.sqrt(2)), [-60, -5, 0, 5, 60]),
    ),
    "Maxout": axis(range=LINE, slope=steps(0, 1), left=(0, True), mean=1 / mp.sqrt(mp.pi)),
    "Softmax": axis(range=SIGMOID, slope=BELL, left=(-S_END[0], False), right=S_END, mean=0.5),
    "Softmax2d": axis(range=SIGMOID, slope=BELL, left=(-S_END[0], False), right=S_END, mean=0.5),
    "Softmin": axis(
        range=SIGMOID,
        slope=("[", -0.25, 0, ")"),
        left=(-S_END[0], False),
        right=S_END,
        mean=0.5,
        monotone="falling",
    ),
}
ZERO_CENTRED = {"GLU", "Hardshrink", "Hardtanh", "SELU", "Softshrink", "Softsign", "Tanh", "Tanhshrink"}


@cache
def rows() -> dict[str, Row]:
    return {row.name: row for row in activations.table()}


def test_every_activation_has_a_row_and_an_oracle() -> None:
    assert set(rows()) == {*KNOWN} == {*nn.modules.activation.__all__} - {"MultiheadAttention"} | {"Maxout", "hardmax"}
    assert {name for name, row in rows().items() if row.zero_centred} == ZERO_CENTRED


@pytest.mark.parametrize("name", KNOWN)
def test_numbers_are_those_of_mpmath(name: str) -> None:
    row, known = rows()[name], KNOWN[name]
    for span, (opening, low, high, closing) in ((row.range, known.range), (row.slope, known.slope)):
        assert (span.low, span.high) == pytest.approx((float(low), float(high)), abs=1e-8)
        if opening == "{":
            assert span.values == pytest.approx(sorted({float(low), float(high)}), abs=1e-8)
        else:
            assert not span.values
            assert (span.low_reached, span.high_reached) == (opening == "[", closing == "]")
    for flat, want in ((row.left, known.left), (row.right, known.right)):
        assert (flat is None) == (want is None)
        if flat is not None:
            assert (flat.start, flat.exactly) == (pytest.approx(float(want[0]), abs=1e-7), want[1])
    mean = known.mean
    if mean is None:
        mean = mp.quad(lambda x: known.formula(x) * mp.npdf(x), [-40, -5, *known.kinks, 5, 40])
    assert row.mean == pytest.approx(float(mean), abs=1e-5)
    assert (row.monotone, row.elementwise) == (known.monotone, known.elementwise)


def test_the_formulas_are_torchs() -> None:
    """So that the numbers are known of the same functions: one point of each, off all kinks."""
    for name, known in KNOWN.items():
        if known.elementwise:
            module = nn.Threshold(0, 0) if name == "Threshold" else getattr(nn, name)()
            for x in (-4.2, -1.3, 0.7, 2.1):
                got = module.double().eval()(torch.tensor([x], dtype=torch.float64))
                assert got.item() == pytest.approx(float(known.formula(mp.mpf(x))), abs=1e-9)


def test_options_and_order() -> None:
    assert rows()["ELU"].options == "alpha = 1"
    assert rows()["RReLU"].options == "lower = 0.125, upper = 0.333"
    assert rows()["Softmax"].options == rows()["ReLU"].options == ""
    order = [row.elementwise for row in rows().values()]
    assert order == sorted(order, reverse=True)


def test_unbounded_growth_is_seen_however_slow() -> None:
    def logarithm(x: Tensor) -> Tensor:
        return torch.sign(x) * torch.log1p(x.abs())

    found = measure.span(measure.values_of(logarithm), measure.ZERO)
    assert (found.low, found.high) == (-INF, INF)


def test_the_page_shows_the_table() -> None:
    found = re.search(r"<!-- table -->\n(.*)\n<!-- end of table -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    want = activations.markdown()
    assert found.group(1) == want, f"put what lossmith.activations.markdown() gives between the marks:\n{want}"
