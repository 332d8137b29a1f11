"""Laws of the claims: what a loss says to hold is attacked, and what it says not to hold needs a counterexample.

Each attack looks for a counterexample, and returns it in words, or nothing. It sees the loss from outside, through its
call. One attack serves both directions: a claim that it breaks is wrong, and so is a modest one that it cannot break.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lossmith.errors import LossmithError
from lossmith.explanation import properties
from lossmith.flow.loss import Loss
from lossmith.losses.adversarial import AdversarialLoss
from lossmith.losses.density import GradientDensity
from lossmith.losses.overlap import OverlapLoss
from lossmith.losses.residual import GaussianNLLLoss, ResidualLoss
from tests.laws.cases import SHIPPED

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SIZES = (1e-30, 1e-8, 1e-3, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 3.0, 5.0, 10.0, 17.0, 40.0, 89.0, 200.0, 1e3, 1e4, 1e6)
EDGES = torch.tensor(sorted([0.0, *SIZES, *(-x for x in SIZES)]), dtype=torch.float64)
SHARES = (0.02, 0.1, 0.3, 0.45, 0.49, 0.51, 0.55, 0.7, 0.9, 0.98)  # of the positives
MIXES = (*itertools.permutations((0.5, 0.3, 0.2)), *itertools.permutations((0.35, 0.325, 0.325)), (0.1, 0.2, 0.7))
CLOSE = tuple(itertools.permutations((0.334, 0.333, 0.333)))  # shares of three classes, one the likeliest
STEEP, LARGE = 1000.0, 100.0  # slopes and values beyond these are taken for unbounded
EPS = 2.3e-16
JUDGED = [
    cls for cls in SHIPPED.values() if cls.family in ("residual", "margin", "likelihood", "overlap", "divergence")
]


# Subjects: each loss, with its defaults and with other parameters ---------------------------------------------------
def variants(cls: type[Loss]) -> Iterator[Loss]:
    names = [k for k, p in cls.own_parameters.items() if isinstance(p.default, bool | float)]
    names += ["temperature"] * (cls.family == "divergence")
    values: dict[str, list[object]] = {
        name: ([0.0, 2.0, -1.0] if len(names) > 2 else [0.0, 0.25, 2.0, -1.0])
        for name in names
        if name not in ("mu", "eps")
    }
    values |= {name: [False, True] for name in names if isinstance(cls.parameters_[name].default, bool)}
    chosen: list[dict[str, object]] = [{}, *({name: value} for name in values for value in values[name])]
    dice = random.Random(cls.name)
    chosen += [{name: dice.choice([*values[name], dice.uniform(0.1, 3)]) for name in values}] * bool(values)
    chosen += [{"q": 1.0}, {"q": 0.5}, {"tau": 0.5}, {"alpha": 0.5}, {"alpha": 1.0}, {"margin": 0.0, "scale": 1.0}]
    chosen += (
        [{"bins": 1}] if issubclass(cls, GradientDensity) else [{"link": "sigmoid"}] if cls.family == "overlap" else []
    )
    chosen += [{"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0}, {"gamma_neg": 2.0, "gamma_pos": 2.0, "clip": 0.0}]
    seen = set()
    for options in chosen:
        try:
            loss = cls(**{**cls.example, **options})
        except LossmithError:
            continue
        if str(loss) not in seen:
            seen.add(str(loss))
            yield loss


def twin(loss: Loss, **options: object) -> Loss:
    return type(loss)(**{**loss.options(), **options})


def on_logits(loss: Loss) -> list[Loss]:
    """The loss on logits of one label, and on those of classes, as far as it has these links."""
    found = []
    for link in ("sigmoid", "softmax"):
        try:
            found.append(twin(loss, link=link) if "link" in loss.parameters_ else loss)
        except LossmithError:
            continue
    return found[:1] if "link" not in loss.parameters_ else found


def cost(loss: Loss, input: Tensor | tuple[Tensor, ...], target: Tensor, others: int = 0) -> Tensor:
    """What each unit costs, alone or beside `others` that stay as they are; those sums make one batch of each unit."""
    if loss.scope == "unit" and "none" in loss.reductions:
        return twin(loss, reduction="none")(input, target)
    assert isinstance(input, Tensor)
    more, wanted = loss.sample(torch.Generator().manual_seed(5), others)
    assert isinstance(more, Tensor)
    more, wanted = (
        (more[:others], wanted[:others] * (loss.family == "likelihood")) if others else (input[:0], target[:0])
    )
    loss = loss.eval()
    with torch.no_grad():
        pairs = zip(input.split(1), target.split(1), strict=True)
        return torch.stack([loss(torch.cat([x, more]), torch.cat([t, wanted.to(t)])) for x, t in pairs])


# Lines: the loss along straight lines through its input -------------------------------------------------------------
@dataclass(frozen=True)
class Line:
    value: Callable[[Tensor], Tensor]
    axis: bool = True  # whether it runs along the natural axis
    low: float = -math.inf
    many: bool = True  # whether many points cost nothing

    def points(self, dense: int = 0) -> Tensor:
        chosen = EDGES if not dense else torch.cat([EDGES, torch.linspace(-12, 12, dense, dtype=torch.float64)])
        if self.low > -math.inf:
            chosen = torch.cat([chosen, self.low + torch.tensor([1e-12, 1e-8, 1e-4], dtype=torch.float64)])
        return chosen[chosen > self.low].unique()


def lines(loss: Loss) -> list[Line]:
    if loss.family == "residual":
        return list(_residual_lines(loss))
    if loss.family == "margin":
        return [Line(lambda m, s=s: cost(loss, s * m, torch.full_like(m, s))) for s in (1.0, -1.0)]
    if loss.family == "divergence":
        return list(_divergence_lines(twin(loss, link="softmax", target_link="prob")))
    return [line for one in on_logits(loss) for line in _likelihood_lines(one)]


def _residual_lines(loss: Loss) -> Iterator[Line]:
    if isinstance(loss, GaussianNLLLoss):
        for v in (0.25, 1.0, 4.0):
            yield Line(lambda x, v=v: cost(loss, (x, torch.full_like(x, v)), torch.zeros_like(x)))
        yield Line(lambda v: cost(loss, (torch.full_like(v, 2.0), v), torch.zeros_like(v)), axis=False, low=0.0)
    elif isinstance(loss, ResidualLoss):
        many = loss.scope == "unit" and "none" in loss.reductions
        for others in (0,) if many else (0, 2):
            yield Line(lambda x, n=others: cost(loss, x, torch.zeros_like(x), n), many=many)
    else:
        legal = loss.legal_input()
        low = -math.inf if legal is None else legal.low  # type: ignore[attr-defined]
        for t in (1e-4, 0.5, 1.0, 3.0, 1e4):
            yield Line(lambda x, t=t: cost(loss, x, torch.full_like(x, t)), low=low)


def _likelihood_lines(loss: Loss) -> Iterator[Line]:
    many = loss.scope == "unit"
    if loss.parameters_.get("link") and loss.link == "sigmoid":  # type: ignore[attr-defined]
        for others in (0,) if many else (0, 3):
            for y in (1.0, 0.0):
                sign = 2 * y - 1
                yield Line(lambda z, y=y, s=sign, n=others: cost(loss, s * z, torch.full_like(z, y), n), many=many)
        return
    if not many:  # one label says it all, and a batch for every point takes its time
        return
    generator = torch.Generator().manual_seed(1)
    for classes in (3,) if loss.options().keys() & {"counts", "prior"} else (2, 4):
        for shift in (0.0, -6.0):
            base, way = (2 * torch.randn(2, classes, generator=generator, dtype=torch.float64)).unbind()
            ahead, across = torch.eye(classes, dtype=torch.float64)[0], way - way.mean()
            for direction, axis in ((ahead, True), (way, False), (across, False)):
                start = base + shift if axis else torch.full_like(base, shift) + 0.1 * base

                def value(x: Tensor, a: Tensor = start, v: Tensor = direction) -> Tensor:
                    return cost(loss, a + x[:, None] * v, torch.zeros(len(x), dtype=torch.int64), 0)

                yield Line(value, axis)


def _divergence_lines(loss: Loss) -> Iterator[Line]:
    generator = torch.Generator().manual_seed(2)
    for q in ([0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.5, 0.5]):
        for _ in range(2):
            way = torch.randn(3, generator=generator, dtype=torch.float64)
            target = torch.tensor([q], dtype=torch.float64)
            yield Line(lambda x, v=way, t=target: cost(loss, x[:, None] * v, t.expand(len(x), -1)), axis=False)


# Attacks ------------------------------------------------------------------------------------------------------------
def not_convex(loss: Loss) -> str | None:
    for line in lines(loss):
        a, b = torch.combinations(line.points(20), 2).unbind(1)
        chosen = torch.randperm(len(a), generator=torch.Generator().manual_seed(0))[: 1000 if line.many else 300]
        a, b = a[chosen], b[chosen]
        fa, fb = line.value(torch.cat([a, b])).chunk(2)
        for s in (0.5, 0.9):
            middle, chord = line.value(s * a + (1 - s) * b), s * fa + (1 - s) * fb
            over = middle - chord - 1e-9 * (fa.abs() + fb.abs()) - 1e-12
            over = torch.where(fa.isfinite() & fb.isfinite(), over, -1.0)
            if bool(over.max() > 0):
                i = int(over.argmax())
                return f"at {a[i]:.4g} and {b[i]:.4g}: {middle[i]:.6g} > {chord[i]:.6g}"
    return None


def slope(loss: Loss) -> float:
    """The steepest secant on the natural axis; where values jump the jump is closed in on."""
    steepest = 0.0
    for line in (line for line in lines(loss) if line.axis):
        x = line.points(1201 if line.many else 25)
        f = line.value(x)
        steepest = max(steepest, _secant(x, f))
        near = torch.where((x.diff() < 1) & f.diff().isfinite(), f.diff().abs(), 0.0)
        i = int(near.argmax())
        a, b, fa, fb = x[i], x[i + 1], f[i], f[i + 1]
        for _ in range(40):
            m = (a + b) / 2
            fm = line.value(m[None])[0]
            if bool((fm - fa).abs() > (fb - fm).abs()):
                b, fb = m, fm
            else:
                a, fa = m, fm
        steepest = max(steepest, _secant(torch.stack([a, b]), torch.stack([fa, fb])))
    return steepest


def _secant(x: Tensor, f: Tensor) -> float:
    noise = 8 * EPS * (f[1:].abs() + f[:-1].abs())  # rounding is no slope
    ratio = (f.diff().abs() - noise - 1e-15) / x.diff()
    return float(torch.where(f.diff().isfinite() & (x.diff() > 0), ratio, 0.0).max())


def not_lipschitz(loss: Loss, constant: float | None) -> str | None:
    limit, found = STEEP if constant is None else constant * (1 + 1e-6), slope(loss)
    return f"a slope of {found:.6g}" if found > limit else None


def largest(loss: Loss) -> float:
    """The largest value, among masks of all sizes or along all lines."""
    if isinstance(loss, OverlapLoss):
        sizes = torch.tensor([0.0, 1e-3, 0.3, 1.0, 2.0, 17.0, 1e4, 1e9], dtype=torch.float64)
        tp, fp, fn = (x.unsqueeze(-1) for x in torch.cartesian_prod(sizes, sizes, sizes).unbind(1))
        return float(loss.formula(tp, fp, fn, torch).abs().max())
    if loss.family == "overlap":
        found = [loss(*loss.sample(torch.Generator().manual_seed(k))) for k in range(8)]
        input, target = loss.sample(torch.Generator().manual_seed(0))
        assert isinstance(input, Tensor)
        wrong = 1 - 2 * target if target.dim() == input.dim() else torch.eye(3)[(target + 1) % 3].movedim(-1, 1)
        return max(float(x.abs().max()) for x in (*found, loss(1e4 * wrong, target)))
    values = torch.cat([line.value(line.points(41 if line.many else 5)) for line in lines(loss)])
    return float(values[~values.isnan()].abs().max())


def not_bounded(loss: Loss, constant: float | None) -> str | None:
    limit, found = LARGE if constant is None else constant * (1 + 1e-9) + 1e-12, largest(loss)
    return f"a value of {found:.6g}" if found > limit else None


def not_symmetric(loss: Loss) -> str | None:
    if loss.family == "divergence":
        loss = twin(loss, link="prob", target_link="prob")
        p, q = (torch.rand(20, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (3, 4))
        p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
        one, other = cost(loss, p, q), cost(loss, q, p)
    else:
        targets = (0.0,) if isinstance(loss, ResidualLoss | GaussianNLLLoss) else (2.0, 3.0)
        found: list[tuple[Tensor, Tensor]] = []
        for t in targets:
            d = EDGES[EDGES > 0]
            d = d[(d > 1e-4) & (d <= 2)] if t else d  # where input and target matter t + d has to be exact, and legal
            both = [torch.full_like(d, t) + s * d for s in (1, -1)]
            given = [(x, torch.ones_like(x)) if isinstance(loss, GaussianNLLLoss) else x for x in both]
            found.append(tuple(cost(loss, x, torch.full_like(d, t), 2) for x in given))  # type: ignore[arg-type]
        one, other = (torch.cat(side) for side in zip(*found, strict=True))
    apart = (one - other).abs() > 1e-9 * (one.abs() + other.abs())
    return f"{one[apart][0]:.6g} and {other[apart][0]:.6g}" if bool(apart.any()) else None


def risks(loss: Loss) -> Iterator[tuple[float, Tensor, Tensor]]:
    """For one score: a share of positives, scores, and the expected loss of each; 0 decides nothing."""
    many = loss.scope == "unit"
    u = torch.linspace(-12, 12, 2401 if many else 121, dtype=torch.float64)
    if loss.family == "margin":
        present, absent = cost(loss, u, torch.ones_like(u)), cost(loss, u, -torch.ones_like(u))
    else:
        binary = loss.parameters_.get("link") is not None and loss.link == "sigmoid"  # type: ignore[attr-defined]
        z = u if binary else torch.stack([0 * u, u], 1)
        one, none = (torch.full((len(u),), k, dtype=torch.float64 if binary else torch.int64) for k in (1, 0))
        if not many:  # one batch of both labels, as often as they are there
            for share in (0.3, 0.55):
                w = torch.tensor([share, 1 - share], dtype=torch.float64)
                rows = [loss(torch.stack([x, x]), torch.stack([one[0], none[0]]), sample_weight=w) for x in z]
                yield share, u, torch.stack(rows)
            return
        present, absent = cost(loss, z, one), cost(loss, z, none)
    for share in SHARES:
        yield share, u, share * present + (1 - share) * absent


def mixtures(loss: Loss, mixes: tuple[tuple[float, ...], ...] = MIXES) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For three classes: their probabilities, those that a model might say, and the expected loss of each."""
    steps = [(i, j, 40 - i - j) for i in range(1, 39) for j in range(1, 40 - i)]
    p = torch.tensor(steps, dtype=torch.float64) / 40
    shares = torch.tensor(sorted(set(mixes)), dtype=torch.float64)
    if loss.family == "divergence":
        for q in shares:
            yield q, p, cost(loss, p.log(), q.expand(len(p), 3))
        return
    each = torch.stack([cost(loss, p.log(), torch.full((len(p),), y)) for y in range(3)], 1)
    for q in shares:
        yield q, p, each @ q


def least(risk: Tensor) -> Tensor:
    return risk <= risk.min() + 1e-12 * (1 + risk.min().abs())


def not_proper(loss: Loss) -> str | None:
    for one in on_logits(loss) if loss.family == "likelihood" else [twin(loss, link="log_prob")]:
        binary = one.family == "likelihood" and not one.options().keys() & {"counts", "prior"}
        for share, u, risk in risks(one) if binary else ():
            off = (u[least(risk)].sigmoid() - share).abs().max()
            if off > (0.008 if one.scope == "unit" else 0.03):
                return f"at a share of {share} the best p is off by {off:.3g}"
        if (one.parameters_.get("link") and one.link == "sigmoid") or one.scope != "unit":  # type: ignore[attr-defined]
            continue
        for q, p, risk in mixtures(one):
            off = (p[least(risk)] - q).abs().max()
            if off > 1e-6:
                return f"at {q.tolist()} the best probabilities are off by {off:.3g}"
    return None


def not_calibrated(loss: Loss) -> str | None:
    for one in on_logits(loss) if loss.family == "likelihood" else [loss]:
        for share, u, risk in () if one.options().keys() & {"counts", "prior"} else risks(one):
            best = u[least(risk)]
            if bool((best * (share - 0.5) <= 0).any()):
                return f"at a share of {share} a score of {best[0]:.3g} is best"
        if loss.family == "margin" or one.scope != "unit" or (one.parameters_.get("link") and one.link == "sigmoid"):  # type: ignore[attr-defined]
            continue
        for q, p, risk in mixtures(one, MIXES + CLOSE):
            best = p[least(risk)]
            if bool((best[:, q.argmax()] < best.amax(1)).any()) or bool(
                ((best == best.amax(1)[:, None]).sum(1) > 1).any()
            ):
                return f"at {q.tolist()} probabilities of {best[0].tolist()} are best"
    return None


def not_robust(loss: Loss) -> str | None:
    return _carried_away(loss) if loss.family == "residual" else _uneven(loss)


def _uneven(loss: Loss) -> str | None:
    u = EDGES[(EDGES.abs() > 1e-2) & (EDGES.abs() < 300)]
    for one in on_logits(loss) if loss.family == "likelihood" else [loss]:
        if one.family == "margin":
            total = cost(one, u, torch.ones_like(u)) + cost(one, u, -torch.ones_like(u))
        elif one.parameters_.get("link") and one.link == "sigmoid":  # type: ignore[attr-defined]
            total = cost(one, u, torch.ones_like(u)) + cost(one, u, torch.zeros_like(u))
        else:
            z = 3 * torch.randn(30, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
            total = sum(cost(one, z, torch.full((30,), y)) for y in range(3))  # type: ignore[assignment]
        if float(total.max() - total.min()) > 1e-9 * (1 + float(total.abs().max())):
            return f"the labels cost between {total.min():.6g} and {total.max():.6g} together"
    return None


INLIERS = torch.tensor([1.0, 1.2, 1.5, 1.6, 2.0, 2.1, 2.5, 3.0], dtype=torch.float64)


def estimate(loss: Loss, outlier: float, share: float) -> float:
    """The constant of least mean loss, of a few ordinary targets and of one far out with a share of the weight."""
    target = torch.cat([INLIERS, torch.tensor([outlier], dtype=torch.float64)])
    weight = torch.tensor([(1 - share) / 8] * 8 + [share], dtype=torch.float64)
    many = loss.scope == "unit" and "none" in loss.reductions
    fine = 10 if many else 1
    c = torch.cat([torch.linspace(0, 60, 300 * fine + 1), torch.logspace(1.8, 13, 100 * fine)]).double()
    if not many:
        mean = torch.stack([loss(x.expand(9), target, sample_weight=weight) for x in c])
    else:
        x = c[:, None].expand(-1, 9).contiguous()
        given = (x, torch.ones_like(x)) if isinstance(loss, GaussianNLLLoss) else x
        mean = torch.nan_to_num(cost(loss, given, target.expand(len(c), 9).contiguous()), posinf=1e300) @ weight
    return float(c[mean.argmin()])


def _carried_away(loss: Loss) -> str | None:
    for share in (1 / 9, 1 / 100):  # small enough: an extreme quantile bears the smaller one only
        near, far = estimate(loss, 1e3, share), estimate(loss, 1e12, share)
        if abs(far - near) < 0.25:
            return None
    return f"an outlier moves the estimate from {near:.6g} to {far:.6g} as it moves from 1e3 to 1e12"


def broken(loss: Loss, name: str, constant: float | None) -> str | None:
    if name == "lipschitz":
        return not_lipschitz(loss, constant)
    if name == "bounded":
        return not_bounded(loss, constant)
    attacks = {"convex": not_convex, "symmetric": not_symmetric, "proper": not_proper, "calibrated": not_calibrated}
    return {**attacks, "robust": not_robust}[name](loss)


@pytest.mark.parametrize("cls", JUDGED, ids=lambda cls: cls.name)
def test_claims_hold_and_what_is_denied_has_a_counterexample(cls: type[Loss]) -> None:
    for loss in variants(cls):
        for found in properties.of(loss):
            if found.answer is None:
                continue
            witness = broken(loss, found.what.name, found.constant)
            if found.answer is False:
                assert witness is not None, f"{loss} is {found.what.title}, as far as can be seen"
            else:
                assert witness is None, f"{loss} is not {found.what.title} ({found}): {witness}"


@pytest.mark.parametrize("cls", JUDGED, ids=lambda cls: cls.name)
def test_everything_with_a_meaning_is_decided(cls: type[Loss]) -> None:
    known = properties.of(cls(**cls.example))
    assert known
    assert [one.what.name for one in known if one.answer is None] == []


@pytest.mark.parametrize("cls", JUDGED, ids=lambda cls: cls.name)
def test_constants_are_the_least(cls: type[Loss]) -> None:
    loss = cls(**cls.example)
    for found in properties.of(loss):
        if found.constant is not None:
            reached = slope(loss) if found.what.name == "lipschitz" else largest(loss)
            assert reached > 0.97 * found.constant, found.what.name


def test_other_families_claim_nothing() -> None:
    assert properties.claims_of(AdversarialLoss) is None
    assert all(properties.claims_of(cls) is None for cls in SHIPPED.values() if cls not in JUDGED)


def test_an_alias_has_the_claims_of_what_it_is_another_name_of() -> None:
    for alias, owner in {"soft_margin": "logistic", "nll": "cross_entropy", "bce": "cross_entropy"}.items():
        assert "claims" not in vars(SHIPPED[alias])
        assert properties.claims_of(SHIPPED[alias]) is SHIPPED[owner].claims
