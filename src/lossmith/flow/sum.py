"""Sums of losses: ``0.7 * FocalLoss(gamma=2) + 0.3 * PolyLoss()`` is a loss like any other."""

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from lossmith.errors import ParameterError
from lossmith.flow.domain import Interval
from lossmith.flow.linear import FusedLinear
from lossmith.flow.loss import Arithmetic, Input, Loss
from lossmith.flow.parameter import number, spell
from lossmith.flow.partial import Partials


class WeightedSum(FusedLinear, Arithmetic, nn.Module):
    """The weighted sum of losses of the same (input, target); each keeps its own parameters and reduction.

    >>> from lossmith import create
    >>> str(0.5 * create("mse") + create("huber(delta=2)"))
    '0.5*mse + huber(delta=2)'
    """

    def __init__(self, terms: list[tuple[float, Loss]]) -> None:
        super().__init__()
        kinds = {loss.reduction for _, loss in terms}
        if "none" in kinds and len(kinds) > 1:
            raise ParameterError(
                f"one value per unit and one number do not add up: reduction {' and '.join(sorted(kinds))}"
            )
        self.factors = [factor for factor, _ in terms]
        self.losses = nn.ModuleList(loss for _, loss in terms)

    @classmethod
    def of(cls, loss: Any) -> "WeightedSum":
        if isinstance(loss, WeightedSum):
            return loss
        if not isinstance(loss, Loss):
            raise ParameterError(f"a loss can be added to a loss, not to {loss!r}")
        return cls([(1.0, loss)])

    @property
    def terms(self) -> list[tuple[float, Loss]]:
        return [(factor, loss) for factor, loss in zip(self.factors, self.losses, strict=True)]  # type: ignore[misc]

    def __mul__(self, factor: float) -> "WeightedSum":
        try:
            factor = number(factor, Interval())
        except (TypeError, ValueError, OverflowError):
            raise ParameterError(f"a loss can be multiplied by a finite number, not by {factor!r}") from None
        return WeightedSum([(factor * f, loss) for f, loss in self.terms])

    __rmul__ = __mul__

    def __add__(self, other: Any) -> "WeightedSum":
        return WeightedSum([*self.terms, *WeightedSum.of(other).terms])

    def forward(self, input: Input, target: Tensor | None = None, **options: Any) -> Tensor:
        return self._total([loss(input, target, **options) for loss in self.losses])

    def partial(self, input: Input, target: Tensor | None = None, **options: Any) -> Partials:
        """The sums of this batch, one partial for each term; `reduce` turns them into the loss."""
        return Partials(loss.partial(input, target, **options) for _, loss in self.terms)

    def reduce(self, partials: Partials, *, num_items: float | Tensor | None = None) -> Tensor:
        """The loss of the partials of its terms."""
        given = zip(self.terms, partials, strict=True)
        return self._total([loss.reduce(partial, num_items=num_items) for (_, loss), partial in given])

    def _total(self, values: list[Tensor]) -> Tensor:
        weighted = [factor * value for factor, value in zip(self.factors, values, strict=True)]
        total = weighted[0]
        for value in weighted[1:]:
            total = total + value
        return total

    if TYPE_CHECKING:
        __call__ = forward

    def __str__(self) -> str:
        words = [str(loss) if f == 1 else f"{spell(f)}*{loss}" for f, loss in self.terms]
        return " + ".join(words).replace("+ -", "- ")

    def __repr__(self) -> str:
        words = [repr(loss) if f == 1 else f"{f!r} * {loss!r}" for f, loss in self.terms]
        return " + ".join(words).replace("+ -", "- ")


class Composition(Loss, family="composition"):
    """A sum of losses under a name of its own, with one set of parameters."""

    portable = True
    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum")

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sum = self.compose()

    def compose(self) -> WeightedSum:
        """The sum, from the parameters; `shared` are those that every term is to have."""
        raise NotImplementedError

    def terms(self, input: Input) -> list[tuple[float, Loss]]:
        """The terms of the sum, where they depend on the shape of the input."""
        return self.sum.terms

    def shared(self) -> dict[str, Any]:
        """The parameters that all losses have, as they were given."""
        return {name: getattr(self, name) for name in Loss.parameters_}

    def partial(self, input: Input, target: Tensor | None = None, **options: Any) -> Partials:  # type: ignore[override]
        return Partials(loss.partial(input, target, **options) for _, loss in self.terms(input))

    def reduce(self, partials: Partials, *, num_items: float | Tensor | None = None) -> Tensor:  # type: ignore[override]
        return self.sum.reduce(partials, num_items=num_items)
