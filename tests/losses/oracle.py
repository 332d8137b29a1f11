"""The references that the losses are held against: formulas as the papers print them, in mpmath at 160 digits.

Nothing here calls or copies lossmith. A reference returns one number, or a tuple of terms whose sum is the loss:
then rounding is judged against the sum of their sizes, because no float32 program can do better.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import product
from typing import Any

import torch
from mpmath import MPContext
from torch import Tensor

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.flow.loss import registry

mp = MPContext()
mp.dps = 160  # 50 digits remain where 1 - p, or a difference quotient, costs a hundred
FLOAT_MAX = {torch.float32: mp.mpf(2) ** 128, torch.float64: mp.mpf(2) ** 1024}
RTOL = {torch.float32: mp.mpf("1e-5"), torch.float64: mp.mpf("1e-12")}
FLOOR = mp.mpf("1e-37")  # where float32 underflows

SIZES = (1e-45, 1e-30, 1e-8, 1e-3, 0.5, 1.0, 5.0, 17.0, 40.0, 89.0, 100.0, 200.0, 1e3, 1e4)
EDGES = (0.0, *SIZES, *(-size for size in SIZES))
PROBABILITIES = (1e-30, 1e-20, 1e-8, 1e-3, 0.3, 0.5, 0.9, 0.999, 1 - 2**-20, 1 - 2**-24)
MAPPINGS = {  # the parameters each loss is tried with, at and off their defaults and at the ends of their ranges
    "huber": [{"delta": 1.0}, {"delta": 0.3}, {"delta": 1e3}],
    "smooth_l1": [{"beta": 1.0}, {"beta": 0.3}, {"beta": 0.0}],
    "quantile": [{"q": 0.5}, {"q": 0.1}, {"q": 0.9}],
    "expectile": [{"tau": 0.5}, {"tau": 0.1}, {"tau": 0.75}],
    "poisson_nll": [{"log_input": a, "full": b} for a, b in product((True, False), repeat=2)],
    "gaussian_nll": [{"full": False}, {"full": True}, {"eps": 1e-3}],
    "focal": [{"gamma": g} for g in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)],
    "poly": [{"epsilon": e} for e in (1.0, -1.0, -0.5, 3.0)],
    "generalized_cross_entropy": [{"q": q} for q in (0.7, 1.0, 0.1)],
    "symmetric_cross_entropy": [{"alpha": 0.1, "beta": 1.0, "A": -4.0}, {"alpha": 2.0, "beta": 0.5, "A": -0.25}],
    "dsc": [{"alpha": a, "smooth": s} for a, s in ((0.01, 1.0), (0.0, 0.125), (0.1, 0.5))],
}


def shipped(family: str = "") -> list[str]:
    """The losses that come with lossmith, of one family or all; those that other tests register stay out."""
    known = ((name, cls) for name, cls in registry.items() if cls.__module__.startswith("lossmith."))
    return [name for name, cls in known if family in ("", cls.family)]


def settings_of(names: Iterable[str]) -> list[tuple[str, dict[str, Any]]]:
    """Every (name, parameters) to try."""
    return [(name, parameters) for name in names for parameters in MAPPINGS.get(name, [{}])]


# The formulas -----------------------------------------------------------------------------------------------------
def huber(r: Any, delta: Any) -> Any:
    """Huber 1964, eq. (1.1) scaled: quadratic up to delta, then its tangent."""
    return r * r / 2 if abs(r) <= delta else delta * abs(r) - mp.mpf(delta) ** 2 / 2


def poisson(x: Any, t: Any, log_input: bool = True, full: bool = False) -> Any:
    """-log of exp(-rate) rate^t / t!, without the factorial or (full) with Stirling's of it above 1."""
    log_rate = x if log_input else mp.log(x + mp.mpf(1e-8))
    stirling = (t * mp.log(t), -t, mp.log(2 * mp.pi * t) / 2) if full and t > 1 else ()
    return (mp.exp(x) if log_input else x, -t * log_rate, *stirling)


def gaussian(mean: Any, variance: Any, t: Any, full: bool = False, eps: float = 1e-6) -> Any:
    """-log of the normal density, its variance kept at eps or more."""
    v = max(variance, mp.mpf(eps))
    return (mp.log(v) / 2, (mean - t) ** 2 / (2 * v), mp.log(2 * mp.pi) / 2 if full else mp.mpf(0))


def exponential(m: Any) -> Any:
    """exp(-m), below -75 the tangent there, as documented."""
    return mp.exp(-m) if m > -75 else mp.exp(75) * (1 - (m + 75))


def negative_log(p: Any) -> Any:
    return -mp.log(p)


def symmetric_cross_entropy(p: Any, alpha: Any, beta: Any, A: Any) -> Any:  # noqa: N803 (the paper's letter)
    """Wang et al. 2019: alpha CE + beta RCE, the reverse one -sum_k p_k log q_k with log 0 = A."""
    return -mp.mpf(alpha) * mp.log(p), -mp.mpf(beta) * mp.mpf(A) * (1 - p)


def self_adjusting_dice(p: Any, alpha: Any, smooth: Any) -> Any:
    """Li et al. 2019, section 3.4, for y = 1: 1 - (2 q + s) / (q + 1 + s); 1 - p is kept at 1.2e-38, as documented.

    1 - q is split as (1 - w) + w (1 - p), w = (1 - p)^alpha, two terms whose slopes have opposite signs.
    """
    w = max(1 - p, mp.mpf(1.2e-38)) ** mp.mpf(alpha)
    below = w * p + 1 + mp.mpf(smooth)
    return (1 - w) / below, w * (1 - p) / below


RESIDUAL: dict[str, Callable[..., Any]] = {
    "mse": lambda x, t: (x - t) ** 2,
    "rmse": lambda x, t: mp.sqrt((x - t) ** 2),
    "mae": lambda x, t: abs(x - t),
    "huber": lambda x, t, delta: huber(x - t, delta),
    "smooth_l1": lambda x, t, beta: huber(x - t, beta) / mp.mpf(beta) if beta else abs(x - t),
    "log_cosh": lambda x, t: mp.log(mp.cosh(x - t)),
    "quantile": lambda x, t, q: max(q * (t - x), (mp.mpf(q) - 1) * (t - x)),
    "expectile": lambda x, t, tau: abs(mp.mpf(tau) - (1 if t < x else 0)) * (t - x) ** 2,
    "mape": lambda x, t: abs((t - x) / t),
    "smape": lambda x, t: abs(x - t) / ((abs(x) + abs(t)) / 2) if x or t else mp.mpf(0),
    "msle": lambda x, t: (mp.log(1 + t) - mp.log(1 + x)) ** 2,
    "poisson_nll": poisson,
    "gaussian_nll": gaussian,
}
MARGIN: dict[str, Callable[..., Any]] = {
    "zero_one": lambda m: mp.mpf(m <= 0),
    "hinge": lambda m: max(mp.mpf(0), 1 - m),
    "squared_hinge": lambda m: max(mp.mpf(0), 1 - m) ** 2,
    "perceptron": lambda m: max(mp.mpf(0), -m),
    "exponential": exponential,
    "logistic": lambda m: mp.log(1 + mp.exp(-m)),
    "soft_margin": lambda m: mp.log(1 + mp.exp(-m)),
}
LIKELIHOOD: dict[str, Callable[..., Any]] = {
    "cross_entropy": negative_log,
    "nll": negative_log,
    "log": negative_log,
    "bce": negative_log,
    "bce_with_logits": negative_log,
    "balanced_cross_entropy": negative_log,  # alpha is a cost around it
    "focal": lambda p, gamma: -((1 - p) ** mp.mpf(gamma)) * mp.log(p),
    "poly": lambda p, epsilon: -mp.log(p) + mp.mpf(epsilon) * (1 - p),
    "generalized_cross_entropy": lambda p, q: (1 - p ** mp.mpf(q)) / mp.mpf(q),
    "symmetric_cross_entropy": symmetric_cross_entropy,
    "dsc": self_adjusting_dice,
}
REFERENCES = {**RESIDUAL, **MARGIN, **LIKELIHOOD}


# Values and slopes ------------------------------------------------------------------------------------------------
Want = tuple[Any, Any, Any]  # lowest and highest right answer (they differ at a kink), and the size of the terms


def terms(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def total(value: Any, factor: Any = 1) -> Want:
    exact = factor * mp.fsum(terms(value))
    return exact, exact, abs(factor) * mp.fsum(terms(value), absolute=True)


def slope(f: Callable[[Any], Any], x: Any, room: Any = None) -> Want:
    """The derivative of `f` at `x` from the left and from the right; `room` is how far the domain goes on."""
    h = (max(abs(x), mp.mpf("1e-60")) if room is None else min(abs(x), room)) * mp.mpf("1e-25") or mp.mpf("1e-60")
    here, left = terms(f(x)), terms(f(x - h))
    right = terms(f(x + h)) if room is None or room > 0 else None
    sides = [[(a - b) / h for a, b in zip(here, left, strict=True)]]
    if right is not None:
        sides.append([(b - a) / h for a, b in zip(here, right, strict=True)])
    sums = [mp.fsum(side) for side in sides]
    return min(sums), max(sums), max(mp.fsum(side, absolute=True) for side in sides)


def add(*wants: Want) -> Want:
    """The sum of answers; sizes add up as well."""
    low, high, size = (mp.fsum(column) for column in zip(*wants, strict=True))
    return low, high, size


def times(want: Want, factor: Any) -> Want:
    low, high = sorted((want[0] * factor, want[1] * factor))
    return low, high, want[2] * abs(factor)


@cache
def likelihood(name: str, *parameters: tuple[str, Any]) -> Callable[[Any], Any]:
    """f(p) of a loss; aliases and repeated calls get the same function, so that answers are computed once."""
    f = LIKELIHOOD[name]
    return (lambda p: f(p, **dict(parameters))) if parameters else f


@cache
def sigmoid_loss(
    f: Callable[[Any], Any], z: Any, t: Any, absent: Callable[[Any], Any] | None = None
) -> tuple[Want, Want]:
    """Value and slope in z of ``t f(p) + (1 - t) absent(1 - p)``, by dp/dz = p (1 - p); f serves both by default."""
    p, q, g = 1 / (1 + mp.exp(-z)), 1 / (1 + mp.exp(z)), absent or f
    return (
        add(total(f(p), t), total(g(q), 1 - t)),
        add(times(slope(f, p, room=q), t * p * q), times(slope(g, q, room=p), -(1 - t) * p * q)),
    )


@cache
def softmax(row: tuple[float, ...]) -> tuple[tuple[Any, Any], ...]:
    """(p, 1 - p) of every class of a row of logits."""
    powers = [mp.exp(mp.mpf(z)) for z in row]
    whole = mp.fsum(powers)
    return tuple((a / whole, (whole - a) / whole) for a in powers)


@cache
def softmax_loss(
    f: Callable[[Any], Any], row: tuple[float, ...], share: tuple[tuple[int, Any], ...], towards: tuple[int, ...]
) -> tuple[Want, list[Want]]:
    """Value of ``sum_k share_k f(p_k)`` and its slope in the logits `towards`, by dp_k/dz_j = p_k ([k = j] - p_j)."""
    p = softmax(row)
    value = add(*(total(f(p[k][0]), q) for k, q in share))
    slopes = {k: slope(f, p[k][0], room=p[k][1]) for k, _ in share}

    def inner(k: int, j: int) -> Any:
        return p[k][0] * (p[k][1] if k == j else -p[j][0])

    return value, [add(*(times(slopes[k], q * inner(k, j)) for k, q in share)) for j in towards]


@cache
def prob_loss(f: Callable[[Any], Any], p: Any) -> tuple[Want, Want]:
    """Value and slope in a probability itself; below 1e-30 log p goes on along its tangent, as documented."""
    least = mp.mpf(1e-30)

    def g(x: Any) -> Any:
        return f(x if x >= least else mp.exp(mp.log(least) + (x - least) / least))

    return total(g(p)), slope(g, p, room=1 - p)


# The verdict ------------------------------------------------------------------------------------------------------
def failures(got: Tensor, wants: Iterable[Want], rtol: Any = None) -> Iterator[str]:
    """What is wrong with each number of `got`, in words."""
    rtol, floor, top = rtol or RTOL[got.dtype], FLOOR, FLOAT_MAX[got.dtype]
    for place, (number, (low, high, size)) in enumerate(zip(got.flatten().tolist(), wants, strict=True)):
        slack = rtol * size + floor
        if low >= top or high <= -top:  # the right answer itself is infinite in this format
            right = number == (float("inf") if low > 0 else float("-inf"))
        else:
            right = low - slack <= number <= high + slack  # never true for NaN
        if not right:
            yield f"at {place}: {number!r}, should be {mp.nstr(low, 12)}..{mp.nstr(high, 12)}"


def agree(got: Tensor, wants: Iterable[Want], rtol: Any = None, at: Sequence[Any] | None = None) -> None:
    """Raise, with the worst places named, unless every number of `got` is right."""
    wrong = list(failures(got.detach(), wants, rtol))
    if wrong:
        points = "" if at is None else "; inputs: " + ", ".join(str(at[int(w.split(":")[0][3:])]) for w in wrong[:5])
        raise AssertionError(f"{len(wrong)} of {got.numel()} wrong: " + " | ".join(wrong[:5]) + points)


def exact(x: Tensor) -> list[Any]:
    """The numbers of a tensor, exactly."""
    return [mp.mpf(v) for v in x.detach().flatten().tolist()]


def jittered(values: Sequence[float], dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """The values, and the values moved by up to a tenth."""
    generator = torch.Generator().manual_seed(seed)
    once = torch.tensor(values, dtype=torch.float64)
    moved = once * (1 + 0.2 * (torch.rand(len(values), generator=generator, dtype=torch.float64) - 0.5))
    return torch.cat([once, moved]).to(dtype)


def with_gradient(loss: Any, input: Tensor, target: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The values of all units (the loss has ``reduction="none"``), and the gradient of their sum."""
    leaf = input.detach().clone().requires_grad_()
    value = loss(leaf, target, **options)
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient


def gradient(f: Callable[[list[Any]], Any], x: Tensor) -> list[Any]:
    """The derivatives of ``f`` of all numbers of a tensor, by central differences of 160 digits."""
    at = exact(x)
    h = max([abs(v) for v in at] + [mp.mpf("1e-30")]) * mp.mpf("1e-50")
    moved = [[[v + s * h * (k == j) for k, v in enumerate(at)] for s in (1, -1)] for j in range(len(at))]
    return [(f(up) - f(down)) / (2 * h) for up, down in moved]
