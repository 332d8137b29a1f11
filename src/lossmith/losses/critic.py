"""How a critic is called, and what its scores cost it and the generator: the statistic of the adversarial family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lossmith.errors import DtypeError, ParameterError, ShapeError
from lossmith.flow.domain import Domain, Interval, Presence
from lossmith.flow.loss import Input, Loss
from lossmith.flow.parameter import integer_or_none, param
from lossmith.flow.partial import Partial
from lossmith.flow.units import Units, at_least_float32, elements, floating, one_tensor

Critic = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Fakes(Interval):
    low: float = 0.0
    high: float = 0.0

    def describe(self) -> str:
        return '0 or left out where player="generator", which pays for its own samples alone'


class AdversarialLoss(Loss, family="adversarial"):
    """Three formulas of the critic's score s: what it pays for a real sample and for a fake, and what its maker pays.

    Training takes two calls, the same for every loss of the family: ``loss.discriminator(critic, real, fake)`` in the
    critic's step and ``loss.generator(critic, fake)`` in the generator's. `critic` is any function from samples to
    scores; the generator's step leaves gradients in the critic, which are to be zeroed before the critic's own.

    Shapes: critic scores and a target of the same shape, 1 for real and 0 for fake; between them is a mixture, so that
    0.9 is one-sided label smoothing. A unit is an element: one score per sample, or one per patch. With
    ``player="generator"`` the scores are those of the generator's samples, and no target is needed. The loss is a
    number without unit. In a training loop `discriminator(critic, real, fake)` and `generator(critic, fake)` call the
    critic themselves. Raises `ShapeError` for different shapes, `DtypeError` for scores that are not floating point,
    `DomainError` for targets outside [0, 1].
    """

    player: Literal["discriminator", "generator"] = param(
        default="discriminator", one_of=("discriminator", "generator"), about="whose loss a call with scores returns"
    )

    hooks: ClassVar[tuple[str, ...]] = ("real", "fake", "generated")
    target_domain = Presence()

    def real(self, s: Any, xp: Any) -> Any:
        """What the critic pays for the score of a real sample."""
        raise NotImplementedError

    def fake(self, s: Any, xp: Any) -> Any:
        """What the critic pays for the score of a fake sample."""
        raise NotImplementedError

    def generated(self, s: Any, xp: Any) -> Any:
        """What the generator pays for the score of its sample."""
        raise NotImplementedError

    def formula(self, s: Any, target: Any, xp: Any) -> Any:
        if self.player == "generator":
            return self.generated(s, xp)
        none = xp.zeros_like(s)
        real = self.real(xp.where(target > 0, s, none), xp)  # a formula sees the scores that it prices, no others:
        fake = self.fake(xp.where(target < 1, s, none), xp)  # 0 * inf would be NaN
        return target * real + (1 - target) * fake

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss: ``mean real(s) + mean fake(s)``, and a penalty where the loss has one.

        Fakes are detached, so that no gradient reaches the generator. The two means may be over different numbers of
        samples; over equal numbers the sum is twice ``loss(scores, target)`` of all. A critic with batch
        normalisation sees real and fake samples in batches of their own.
        """
        fake = fake.detach()
        cost = self._mean(self.real(self._scores(critic, real), torch))
        return cost + self._mean(self.fake(self._scores(critic, fake), torch)) + self.extra(critic, real, fake)

    def generator(self, critic: Critic, fake: Tensor) -> Tensor:
        """The generator's loss: the mean of ``generated(s)`` over the scores of its samples, ``loss(scores)``."""
        return self._mean(self.generated(self._scores(critic, fake), torch))

    def extra(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | float:
        """What the critic pays besides: nothing by default."""
        return 0.0

    def admit(
        self, input: Input, target: Tensor | None, mask: Tensor | None, sample_weight: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        if target is None and self.takes_target and self.player == "generator":
            target = torch.zeros_like(one_tensor(type(self).__name__, input), requires_grad=False)
        return super().admit(input, target, mask, sample_weight)

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        return self.formula(inputs[0], target, torch), None

    def legal_target(self, target: Tensor, units: Units) -> Domain | None:
        return _Fakes() if self.player == "generator" else self.target_domain

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        scores = Interval().sample((units,), generator)
        labels = Interval(0, 1).sample((units,), generator).round()
        return scores, labels if self.player == "discriminator" else 0 * labels

    def _scores(self, critic: Critic, samples: Tensor, one_each: bool = False) -> Tensor:
        """The scores of the samples, checked; `one_each` makes them [N], one per sample."""
        owner = type(self).__name__
        scores = one_tensor(owner, critic(samples), "what the critic returns")
        floating(owner, scores, "what the critic returns")
        if one_each and (scores.numel() != len(samples) or scores.shape[:1] != samples.shape[:1]):
            raise ShapeError(
                f"{owner}: the critic must return one score per sample, shape [{len(samples)}] or "
                f"[{len(samples)}, 1]; it returned shape {list(scores.shape)} (average over patches inside it)"
            )
        return at_least_float32(scores.flatten() if one_each else scores)

    def _mean(self, value: Tensor) -> Tensor:
        if self.reduction == "none":
            raise ParameterError(
                f'{type(self).__name__}: discriminator and generator return one number: reduction must be "mean" or '
                '"sum" for them, not "none"'
            )
        return self.reduce(Partial(value.sum(), value.new_full((), value.numel())))


def _matched(owner: str, real: Tensor, fake: Tensor) -> None:
    floating(owner, real, "real")
    floating(owner, fake, "fake")
    if real.shape != fake.shape or real.dim() == 0:
        raise ShapeError(
            f"{owner}: every real sample is paired with a fake one, so both need the same shape [N, *]; "
            f"real has {list(real.shape)} and fake {list(fake.shape)}"
        )


def _rows(x: Tensor) -> Tensor:
    """[N, *] -> [N, everything else]."""
    return at_least_float32(x).unsqueeze(-1).flatten(1)


def _norms(x: Tensor) -> Tensor:
    """The Euclidean norm of each row: its squares neither overflow nor vanish, and its slope at 0 is 0."""
    size = x.detach().abs().amax(1, keepdim=True)
    squares = (x / torch.where(size > 0, size, 1.0)).square().sum(1)
    return torch.where(squares > 0, squares, 1.0).sqrt() * size.squeeze(1)


class PenalizedAdversarialLoss(AdversarialLoss, family="adversarial"):
    """An adversarial loss whose critic also pays for a slope that is not 1 between real and fake samples.

    `discriminator` includes the penalty, and `gradient_penalty` returns it alone, not yet multiplied.
    """

    penalty: float = param(default=10.0, ge=0, about="lambda, what the gradient penalty is multiplied by")
    seed: int | None = param(
        default=None,
        read=integer_or_none,
        rule="an integer or None",
        about="where the penalty looks: None draws anew at every call, an integer draws the same each time",
    )

    def extra(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor | float:
        return self.penalty * self.gradient_penalty(critic, real, fake) if self.penalty else 0.0

    def gradient_penalty(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """``mean over samples of (||grad critic(x)|| - 1)^2`` at ``x = real + u (fake - real)``, u uniform in [0, 1].

        One u and one norm per sample, over all its dimensions; where the gradient is 0, the slope of the norm is taken
        as 0. Real sample k is paired with fake sample k. It can be differentiated once more, in the critic's
        parameters. A critic with batch normalisation has no gradient of its own for each sample: use layer or
        instance normalisation, as the paper does.
        """
        _matched(type(self).__name__, real, fake)
        training = torch.is_grad_enabled()
        u = self._uniform(real)
        with torch.enable_grad():
            x = torch.lerp(real.detach(), fake.detach().to(real.dtype), u).requires_grad_()
            scores = self._scores(critic, x, one_each=True)
            (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=training, materialize_grads=True)
        return self._mean((_norms(_rows(slope)) - 1) ** 2)

    def _uniform(self, like: Tensor) -> Tensor:
        generator = None if self.seed is None else torch.Generator(like.device).manual_seed(self.seed)
        shape = (len(like), *[1] * (like.dim() - 1))
        return torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)


class PairedAdversarialLoss(AdversarialLoss, family="adversarial"):
    """An adversarial loss whose critic pays for pairs: a formula of both scores and of how far the samples are apart.

    Shapes: the input is (real scores, fake scores, distances), three tensors of one shape, and there is no target; a
    unit is a pair. With ``player="generator"`` it is one tensor, the scores of the generator's samples. In a training
    loop `discriminator(critic, real, fake)` and `generator(critic, fake)` call the critic themselves; then real sample
    k is paired with fake sample k, and their distance is the L1 norm of the difference over all dimensions. Raises
    `ShapeError` for different shapes, `DtypeError` for anything but three floating point tensors, `DomainError` for a
    distance below 0.
    """

    hooks = ("formula", "generated")
    takes_target = False

    def formula(self, real: Any, fake: Any, distance: Any, xp: Any) -> Any:  # type: ignore[override]
        raise NotImplementedError

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss: the mean of the formula over the pairs (real sample k, fake sample k)."""
        _matched(type(self).__name__, real, fake)
        fake = fake.detach()
        right, wrong = (self._scores(critic, x, one_each=True) for x in (real, fake))
        distance = (_rows(real) - _rows(fake)).abs().sum(1)
        return self._mean(self.formula(right, wrong, distance, torch))

    def arrange(self, input: Input, target: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Units]:
        owner = type(self).__name__
        if self.player == "generator":
            return super().arrange(input, torch.zeros_like(one_tensor(owner, input), requires_grad=False))
        if not (isinstance(input, tuple | list) and len(input) == 3):
            raise DtypeError(f"{owner}: input must be three tensors (real scores, fake scores, distances)")
        real, fake, distance = (at_least_float32(one_tensor(owner, x)) for x in input)
        for x in (fake, distance):
            floating(owner, x)
            if x.shape != real.shape:
                raise ShapeError(
                    f"{owner}: real scores, fake scores and distances must have one shape; "
                    f"they have {list(real.shape)}, {list(fake.shape)} and {list(distance.shape)}"
                )
        units = elements(owner, real, real)
        return (real, fake.to(real), distance.to(real)), torch.zeros_like(real, requires_grad=False), units

    def check(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> None:
        super().check(inputs, target, units)
        if self.player == "discriminator":
            Interval(0).check(type(self).__name__, "distance", inputs[2])

    def evaluate(self, inputs: tuple[Tensor, ...], target: Tensor, units: Units) -> tuple[Tensor, Tensor | None]:
        if self.player == "generator":
            return self.generated(inputs[0], torch), None
        real, fake, distance = inputs
        return self.formula(real, fake, distance, torch), None

    def sample(self, generator: torch.Generator, units: int = 8) -> tuple[Input, Tensor]:
        real, fake = (Interval().sample((units,), generator) for _ in range(2))
        if self.player == "generator":
            return fake, None  # type: ignore[return-value]
        return (real, fake, Interval(0, 4).sample((units,), generator)), None  # type: ignore[return-value]
