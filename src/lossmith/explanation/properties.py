"""What is said of a loss, property by property: what each means, exactly, and which loss claims it.

Classes declare `claims`; ``tests/laws/claims_test.py`` tries to break each that is said to hold, and must find a
counterexample to each that is said not to.
"""

from dataclasses import dataclass
from typing import Any

import torch

import lossmith.losses  # noqa: F401  (fills the registry)
from lossmith.flow.claim import Answer, Claims
from lossmith.flow.labelled import LabelledLoss
from lossmith.flow.loss import Loss, registry
from lossmith.flow.parameter import weights_or_none
from lossmith.flow.sum import Composition, WeightedSum


@dataclass(frozen=True)
class Property:
    """One property: its name in `Claims`, its name in words, and what it means."""

    name: str
    title: str
    sentence: str
    definition: str
    families: tuple[str, ...]


POINTWISE = ("residual", "margin", "likelihood")
PROPERTIES = (
    Property(
        "convex",
        "convex",
        "Every minimum is the global one, for a model that is linear in its weights.",
        "f(s a + (1 - s) b) <= s f(a) + (1 - s) f(b) for all inputs a, b and all s in [0, 1], at any one target. The "
        "input of a likelihood or a divergence is the logits here, whatever its link is.",
        (*POINTWISE, "divergence"),
    ),
    Property(
        "lipschitz",
        "Lipschitz",
        "One unit pulls at its prediction with at most this force, however wrong it is.",
        "|f(a) - f(b)| <= L |a - b| for all a, b on the natural axis: the residual, the margin, the logit of the "
        "target (the others as they are); L is the least such constant. Of a loss of two numbers it is the input.",
        POINTWISE,
    ),
    Property(
        "symmetric",
        "symmetric",
        "It makes no difference to which side the prediction errs; of a divergence, which distribution is the model's.",
        "f(t + d, t) = f(t - d, t) for every target t and error d; of a divergence D(p, q) = D(q, p).",
        ("residual", "divergence"),
    ),
    Property(
        "bounded",
        "bounded",
        "One unit costs at most this much, however wrong it is.",
        "There is a B with |f| <= B for all inputs and targets, per unit; the number is the least such B over the "
        "masks of all sizes, or over all inputs.",
        (*POINTWISE, "overlap", "divergence"),
    ),
    Property(
        "proper",
        "proper",
        "The probabilities that cost least are the true ones, so that it estimates probabilities.",
        "For all class probabilities q inside the simplex the expected loss sum_y q_y f(z, y) is least where the "
        "probabilities of the logits z are q, and nowhere else; of a divergence D(p, q) is least at p = q alone.",
        ("likelihood", "divergence"),
    ),
    Property(
        "calibrated",
        "classification-calibrated",
        "The scores that cost least decide for the likeliest class (Bartlett, Jordan and McAuliffe 2006).",
        "For all class probabilities q with one likeliest class every minimiser z of the expected loss "
        "sum_y q_y f(z, y) has its greatest score at that class; for one score, its sign is that of q - 1/2.",
        ("margin", "likelihood"),
    ),
    Property(
        "robust",
        "robust",
        "A few wrong targets cannot take the estimate anywhere; over classes, labels wrong at random do not move it.",
        "Residuals: if a small enough share of the targets goes anywhere, the constant input of least mean loss stays "
        "within bounds that depend on the others alone. Margins and likelihoods: sum_y f(z, y) is the same for all "
        "scores z (but for ties at 0), which makes uniform label noise harmless (Ghosh, Kumar and Sastry, arXiv "
        "1712.09482).",
        POINTWISE,
    ),
)
STATUS = {"yes": "holds", "no": "does not hold: there is a counterexample", "not claimed": "nobody has claimed either"}
COSTS = ("weight", "alpha", "pos_weight", "label_smoothing")


@dataclass(frozen=True)
class Found:
    """What is known of one property of one loss; the constant where there is one."""

    what: Property
    answer: Answer

    @property
    def status(self) -> str:
        if self.answer is None:
            return "not claimed"
        return "no" if self.answer is False else "yes"

    @property
    def constant(self) -> float | None:
        return None if self.answer is None or isinstance(self.answer, bool) else float(self.answer)

    def __str__(self) -> str:
        sign = {"lipschitz": "L = ", "bounded": "at most "}.get(self.what.name, "")
        return self.status if self.constant is None else f"{self.status}, {sign}{self.constant:.4g}"


def of(loss: Loss | WeightedSum) -> list[Found]:
    """Each property that has a meaning for the loss, and what is known of it.

    >>> from lossmith import create
    >>> [f"{one.what.title}: {one}" for one in of(create("huber(delta=2)"))][:2]
    ['convex: yes', 'Lipschitz: yes, L = 2']
    """
    terms = loss.terms if isinstance(loss, WeightedSum) else [(1.0, loss)]
    meant = [one for one in PROPERTIES if all(term.family in one.families for _, term in terms)]
    if isinstance(loss, Composition):
        meant = []
    found = {one: [(factor, answer(term, one.name)) for factor, term in terms] for one in meant}
    return [Found(one, _of_sum(answers, one.name)) for one, answers in found.items()]


def answer(loss: Loss, name: str) -> Answer:
    """What the loss claims about a property, with its parameters; class costs that it was given leave most open."""
    claims = claims_of(type(loss))
    if claims is None:
        return None
    found = claims.of(loss)[name]
    given = [k for k in loss.options() if k in COSTS and k not in type(loss).own_parameters]
    if given and isinstance(loss, LabelledLoss) and name in ("lipschitz", "proper", "calibrated", "robust"):
        return None
    if given and name == "bounded" and found is not False:
        return None if found is None else True
    if name == "lipschitz" and found is True:
        return steepest(loss)
    return found


def claims_of(cls: type[Loss]) -> Claims | None:
    """The claims of a class: its own, or those of the class whose formula it has under another name."""
    if "claims" in vars(cls):
        return cls.claims
    twins = (other for other in registry.values() if "claims" in vars(other) and _alike(cls, other))
    return next((twin.claims for twin in twins), None)


def _alike(one: type[Loss], other: type[Loss]) -> bool:
    """Whether two classes are one loss but for the defaults of their link: the same methods throughout."""
    hooks = {hook for base in one.__mro__ for hook in vars(base).get("hooks", ())}
    methods = (*hooks, "evaluate", "finish", "scope")
    costs = [k for k in one.own_parameters if one.own_parameters[k].read is weights_or_none]
    return not costs and all(getattr(one, name, None) is getattr(other, name, 0) for name in methods)


def _of_sum(terms: list[tuple[float, Answer]], name: str) -> Answer:
    """What the claims of its terms say of a weighted sum."""
    if len(terms) == 1 and terms[0][0] > 0:  # a multiple of one loss
        factor, found = terms[0]
        return found if found is None or isinstance(found, bool) else factor * found
    if any(found is None or found is False for _, found in terms):
        return None
    if name in ("lipschitz", "bounded"):
        return True  # the constants of the terms need not add up to the least one
    positive = all(factor > 0 for factor, _ in terms)
    return True if name == "symmetric" or (positive and name in ("convex", "proper")) else None


def steepest(loss: Any) -> float:
    """The steepest slope of a likelihood formula in the logit of the target, looked for on a fine grid."""
    u = torch.linspace(-60, 60, 240_001, dtype=torch.float64).requires_grad_()
    logp = torch.nn.functional.logsigmoid(u)
    slopes = [torch.autograd.grad(f(logp, torch).sum(), u, retain_graph=True)[0] for f in (loss.formula, loss.absent)]
    return max(float(slope.abs().max()) for slope in slopes)
