"""Expressions: what they compute, and that nothing outside the whitelist is ever read, let alone run."""

import math

import pytest
import torch

from lossmith.curves.expression import DEEPEST, LONGEST, read
from lossmith.curves.model import Written
from lossmith.errors import InputError

X = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        ("a*sqrt(x)*(b*x**2 + c)", lambda x, a, b, c: a * math.sqrt(x) * (b * x**2 + c)),
        ("-a + b - +c*x", lambda x, a, b, c: -a + b - c * x),
        ("a/(1 + exp(-b*(x - c)))", lambda x, a, b, c: a / (1 + math.exp(-b * (x - c)))),
        ("a*b**c*x**2**0.5", lambda x, a, b, c: a * b**c * x ** (2**0.5)),
        ("a*sin(pi*x)*b - e", lambda x, a, b, c: a * b * math.sin(math.pi * x) - math.e),
        ("c*log10(x)", lambda x, a, b, c: c * math.log10(x)),
        ("a*log1p(x) + b*tanh(x)", lambda x, a, b, c: a * math.log1p(x) + b * math.tanh(x)),
        ("c*abs(-x)*erf(x)", lambda x, a, b, c: c * x * math.erf(x)),
    ],
)  # fmt: skip
def test_it_computes_what_is_written(text, by_hand):
    values = {"x": X, "a": 1.5, "b": 0.7, "c": -0.3}
    values |= {name: torch.tensor(values[name], dtype=torch.float64) for name in "abc"}
    expected = [by_hand(float(x), 1.5, 0.7, -0.3) for x in X]
    assert read(text, ["x"])(values).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "a*x.real", "x.__class__", "__import__('os')", "__import__", "a*x + __builtins__", "exec('1')", "a*open(x)",
        "(lambda: a)()*x", "lambda: x", "[a for a in x]", "{a: x}", "(a, x)", "[a, x]", "x[0]*a", "a if x else b",
        "a and x", "a < x", "a*x; b", "a := x", "(a := x)", "f'{a*x}'", "'a'*x", "b'a'*x", "a*x + True", "a*x + None",
        "a*x + 1j", "a @ x", "a // x", "a % x", "a << x", "a | x", "a ^ x", "~a*x", "not a*x", "x*exp(a, x)",
        "exp(*x)*a", "exp()*a*x", "exp*x*a", "x(a)", "a.b(x)", "await x*a", "yield x", "*x", "...", "import os", "a=x",
        "", "x*exp(a, x=a)", "exp(x=a)*x", "1or x*a", "a*x\nb", "\x00a*x",
    ],
)  # fmt: skip
def test_whatever_else_python_knows_is_refused(text):
    with pytest.raises(InputError) as said:
        read(text, ["x"])
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9**9**9*a*x", '"9 ** 9 ** 9" is not a finite number'),
        ("a*x + 1/0", '"1 / 0" is not a finite number'),
        ("a*x*" + "9" * 400, "is not a finite number"),
        ("a*x + " + "9" * 10**6, f"at most {LONGEST:,} characters; this one has 1,000,006"),
        ("a*" * 10**6 + "x", "at most 1,000 characters"),
        ("(" * 490 + "a*x" + ")" * 490, "cannot read the expression"),
        ("-" * 60 + "x*a", "nested more than"),
        ("-" * 900 + "x*a", "nested more than"),
        ("exp(" * (DEEPEST + 1) + "a*x" + ")" * (DEEPEST + 1), "nested more than"),
        ("+".join(f"a{k}*x" for k in range(21)), "at most 20 parameters"),
        ("2*x", "has no parameters to fit"),
        ("a + b", "does not contain x"),
        ("a*sqr(x)", 'no function "sqr" in expressions; did you mean "sqrt"?'),
        ("a*x^2", "written with **, not with ^"),
        ("a*exp + x", "write exp(...)"),
        ("2x*a", "cannot read the expression"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(text, said):
    with pytest.raises(InputError) as error:
        read(text, ["x"])
    assert said in str(error.value)
    assert len(str(error.value)) < 400


def test_columns_may_be_named_even_as_python_spells_them_otherwise():
    assert read("a*µ", ["µ"]).names == ("a", "µ")  # the parser makes the micro sign a Greek mu
    assert Written("b*dose + k*x", ["dose"]).parameters == ("b", "k")
    assert Written("b*x1 + c*y2", ["y1", "y2"]).parameters == ("b", "c")


@pytest.mark.parametrize(
    ("text", "bent"),
    [
        ("a + b*x + c*exp(x)", ""),
        ("a*exp(-b*x) + c", "b"),
        ("a*sqrt(x)*(b*x**2 + c)", "a"),
        ("a*x/b + c", "b"),
        ("a*x**b", "b"),
        ("exp(a + b*x)", "ab"),
    ],
)
def test_which_parameters_bend_the_curve(text, bent):
    model = Written(text, ["x"])
    assert {model.parameters[k] for k in model.shapes()} == set(bent)


def test_slopes_and_curvatures_are_autograds():
    model = Written("a*exp(-b*x) + c*x**b + 2", ["x"])
    theta, x = torch.tensor([1.5, 0.7, -0.3], dtype=torch.float64), X[:, None]
    a, b, c = theta.tolist()
    for row, value in zip(model.slopes(x, theta), X.tolist(), strict=True):
        by_b = -a * value * math.exp(-b * value) + c * value**b * math.log(value)
        assert row.tolist() == pytest.approx([math.exp(-b * value), by_b, value**b])
    plain = torch.autograd.functional.hessian(lambda at: (model.output(x, at) * X).sum(), theta)
    torch.testing.assert_close(model.bend(x, theta, X), plain)
