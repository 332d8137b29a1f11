"""Adversarial losses: three formulas of a critic's score, of a real sample, of a fake one, and for its generator.

A score is the critic's output as it is, without a sigmoid, and higher for what looks real, in every loss here.
"""

from typing import Any

from lossmith.flow.parameter import param
from lossmith.losses.critic import AdversarialLoss, PairedAdversarialLoss, PenalizedAdversarialLoss
from lossmith.losses.margin import positive_part, softplus


class MinimaxGANLoss(AdversarialLoss):
    """The first game, D = sigmoid(s): ``-log D`` for real, ``-log(1 - D)`` for fake, ``log(1 - D)`` to the generator.

    Where the critic is sure of a fake, the generator's slope ``-D`` vanishes: it saturates, and learns nothing while
    it is bad. `NonSaturatingGANLoss` has the same critic and no such end. At D = 1/2 the pair of players is at rest:
    the critic's two means are ``2 log 2`` together, and less by twice the Jensen-Shannon divergence where the best
    critic can tell the two distributions apart.

    Use it to study the game of the first paper. Not to train a generator, whose slope vanishes while it is bad:
    `NonSaturatingGANLoss`.

    >>> float(MinimaxGANLoss()(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])))   # log 2
    0.6931...
    >>> float(MinimaxGANLoss(player="generator")(torch.tensor([0.0])))   # log(1 - 1/2)
    -0.6931...

    Source: Goodfellow et al., "Generative Adversarial Nets", arXiv 1406.2661, eq. 1.
    """

    def real(self, s: Any, xp: Any) -> Any:
        return softplus(-s, xp)

    def fake(self, s: Any, xp: Any) -> Any:
        return softplus(s, xp)

    def generated(self, s: Any, xp: Any) -> Any:
        return -softplus(s, xp)


class NonSaturatingGANLoss(AdversarialLoss):
    """The game as it is played: the critic of `MinimaxGANLoss`, and ``-log D`` to the generator, with D = sigmoid(s).

    The worse a fake does, the stronger the generator's slope, up to -1.

    Use it as the base line of any GAN. Not where the critic's loss should say how good the samples are, or training
    breaks down: `WGANGPLoss`.

    >>> float(NonSaturatingGANLoss()(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0])))   # log 2
    0.6931...
    >>> float(NonSaturatingGANLoss(player="generator")(torch.tensor([-200.0])))
    200.0

    Source: Goodfellow et al., "Generative Adversarial Nets", arXiv 1406.2661, section 3.
    """

    real, fake = MinimaxGANLoss.real, MinimaxGANLoss.fake

    def generated(self, s: Any, xp: Any) -> Any:
        return softplus(-s, xp)


class WGANLoss(AdversarialLoss):
    """Wasserstein: ``-s`` for real, ``s`` for fake, ``-s`` to the generator.

    The critic's loss estimates minus the Wasserstein-1 distance, if the critic is 1-Lipschitz. Nothing here makes it
    so: clip its weights after every step of it, as the paper does, or use `WGANGPLoss`.

    Use it where the critic's weights are clipped or normalised already. Not with any other critic, whose loss then has
    no lower end: `WGANGPLoss`.

    >>> float(WGANLoss()(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 0.0])))   # (-3 + 1) / 2
    -1.0
    >>> float(WGANLoss(player="generator")(torch.tensor([2.0])))
    -2.0

    Source: Arjovsky et al., "Wasserstein GAN", arXiv 1701.07875, eq. 2 and algorithm 1.
    """

    def real(self, s: Any, xp: Any) -> Any:
        return -s

    def fake(self, s: Any, xp: Any) -> Any:
        return s

    generated = real


class WGANGPLoss(PenalizedAdversarialLoss, name="wgan_gp"):
    """Wasserstein with gradient penalty: `WGANLoss`, and ``penalty (||grad critic(x)|| - 1)^2`` for the critic.

    The penalty needs the critic and samples: `discriminator` includes it, a call with scores cannot. A linear critic
    ``w x`` pays ``penalty (||w|| - 1)^2``:

    Use it where training is unstable, or the critic's loss is to be read as a distance. Not where a second derivative
    is too slow: `HingeGANLoss` with spectral normalisation.

    >>> loss, critic = WGANGPLoss(), lambda x: x @ torch.tensor([3.0, 4.0])
    >>> float(loss.gradient_penalty(critic, torch.zeros(5, 2), torch.ones(5, 2)))   # (5 - 1)^2
    16.0
    >>> float(loss.discriminator(critic, torch.zeros(5, 2), torch.ones(5, 2)))   # 0 + 7 + 10 * 16
    167.0

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", arXiv 1704.00028, eq. 3.
    """

    real, fake, generated = WGANLoss.real, WGANLoss.fake, WGANLoss.generated


class LSGANLoss(AdversarialLoss):
    """Least squares: ``(s - b)^2 / 2`` for real, ``(s - a)^2 / 2`` for fake, ``(s - c)^2 / 2`` to the generator.

    The score is a number to regress on, not a logit. ``a=-1, b=1, c=0`` minimises the Pearson chi-squared divergence;
    the default is the paper's 0-1 coding. Not to be confused with `LossSensitiveGANLoss`, also called LS-GAN.

    Use it for image translation, as CycleGAN does. Not with a sigmoid at the end of the critic, nor where scores far
    from a and b should not rule by their squares: `HingeGANLoss`.

    >>> float(LSGANLoss()(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 0.0])))   # (2 + 1/2) / 2
    1.25
    >>> float(LSGANLoss(player="generator")(torch.tensor([-1.0])))
    2.0

    Source: Mao et al., "Least Squares Generative Adversarial Networks", arXiv 1611.04076, eq. 2.
    """

    a: float = param(default=0.0, about="the score that a fake ought to have")
    b: float = param(default=1.0, about="the score that a real sample ought to have")
    c: float = param(default=1.0, about="the score that the generator wants")

    def real(self, s: Any, xp: Any) -> Any:
        return 0.5 * (s - self.b) ** 2

    def fake(self, s: Any, xp: Any) -> Any:
        return 0.5 * (s - self.a) ** 2

    def generated(self, s: Any, xp: Any) -> Any:
        return 0.5 * (s - self.c) ** 2


class HingeGANLoss(AdversarialLoss):
    """Hinge: ``max(0, 1 - s)`` for real, ``max(0, 1 + s)`` for fake, ``-s`` to the generator.

    Use it with spectral normalisation for large image GANs, as BigGAN does. Not with an unbounded critic, the
    generator's score then has no end: `NonSaturatingGANLoss`.

    >>> float(HingeGANLoss()(torch.tensor([0.5, 2.0]), torch.tensor([1.0, 0.0])))   # (1/2 + 3) / 2
    1.75
    >>> float(HingeGANLoss(player="generator")(torch.tensor([0.5])))
    -0.5

    Source: Lim and Ye, "Geometric GAN", arXiv 1705.02894; Miyato et al., "Spectral Normalization for Generative
    Adversarial Networks", arXiv 1802.05957, eq. 16 and 17.
    """

    def real(self, s: Any, xp: Any) -> Any:
        return positive_part(1 - s, xp)

    def fake(self, s: Any, xp: Any) -> Any:
        return positive_part(1 + s, xp)

    generated = WGANLoss.generated


class LossSensitiveGANLoss(PairedAdversarialLoss):
    """Loss-sensitive: ``-s_real + penalty max(0, margin d + s_fake - s_real)`` for a pair, ``-s`` to the generator.

    d is the distance between the real and the fake sample of a pair: the further apart, the wider the gap that their
    scores need. The paper writes it with a loss L, low for real samples; here L = -s, so that a high score means real
    as in the rest of the family.

    Use it where the distance of two samples says how far apart their scores should be. Not for images, whose L1
    distance says little, unless in features: `WGANGPLoss`.

    >>> pair = torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([2.0])
    >>> float(LossSensitiveGANLoss()(pair))   # -1 + (2 + 0.5 - 1)
    0.5
    >>> float(LossSensitiveGANLoss(margin=0.25, penalty=3.0)(pair))   # the gap is wide enough
    -1.0

    Source: Qi, "Loss-Sensitive Generative Adversarial Networks on Lipschitz Densities", arXiv 1701.06264, section 3.
    """

    margin: float = param(default=1.0, ge=0, about="the gap between two scores per unit of distance")
    penalty: float = param(default=1.0, ge=0, about="lambda, what a gap that is too narrow is multiplied by")

    def formula(self, real: Any, fake: Any, distance: Any, xp: Any) -> Any:  # type: ignore[override]
        lacking = self.margin * distance + fake - real
        return -real + self.penalty * positive_part(lacking, xp)

    generated = WGANLoss.generated
