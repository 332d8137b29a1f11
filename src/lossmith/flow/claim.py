"""What a loss says of itself: properties that laws try to break; `lossmith.explanation.properties` defines them."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

Answer = bool | float | None  # yes or no; yes, with this constant; not claimed
Claim = Answer | Callable[[Any], Answer]


@dataclass(frozen=True)
class Claims:
    """The properties that a loss claims; each is a claim, or a function of the loss where it depends on parameters.

    What is left out is claimed not to hold, and a law must find a counterexample to it; None leaves it open. Claims are
    about the loss of plain units: without class weights, label smoothing and costs that the class does not have by
    itself. A number is the constant: the least Lipschitz constant, the least upper bound.

    >>> from types import SimpleNamespace
    >>> claims = Claims(convex=lambda loss: loss.gamma == 0, lipschitz=1.0)
    >>> claims.of(SimpleNamespace(gamma=2.0))["convex"], claims.of(SimpleNamespace(gamma=0.0))["convex"]
    (False, True)
    """

    convex: Claim = False
    lipschitz: Claim = False
    symmetric: Claim = False
    bounded: Claim = False
    proper: Claim = False
    calibrated: Claim = False
    robust: Claim = False

    def of(self, loss: Any) -> dict[str, Answer]:
        """The claims of a loss with its parameters."""
        claims = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: claim(loss) if callable(claim) else claim for name, claim in claims.items()}
