"""Where the losses over many classes take their noise from: distributions of class indices, drawn on the device.

All randomness comes from one integer, the key: the same key gives the same classes on every device and every rank,
inside `torch.vmap` and under `torch.compile`, and nothing waits for the device. Tables hold integers, which stay exact
when a module is moved to half precision.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

COIN = 2**53  # a threshold of so much is certainty
FRACTION = 2.0**44  # log q is held in units of 1 / FRACTION
NEVER = -1e5  # stands for the log of 0: a class that is never drawn


def random_bits(key: Tensor, count: int) -> Tensor:
    """`count` numbers of 64 random bits from one, by SplitMix64 and without any state.

    The key is mixed first, so that neighbouring keys have nothing in common. Source: Steele, Lea and Flood (2014),
    "Fast splittable pseudorandom number generators", with the constants of Vigna's ``splitmix64.c``.

    >>> [hex(number % 2**64) for number in random_bits(torch.tensor(0), 2).tolist()]
    ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    turn = mix(key) ^ torch.arange(1, count + 1, device=key.device)  # with + Inductor takes it for an index, and fails
    return mix(turn * _signed(0x9E3779B97F4A7C15))


def mix(z: Tensor) -> Tensor:
    """SplitMix64's one-to-one map of 64 bits in which every bit depends on every other; int64 wraps around."""
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _shift(bits: Tensor, places: int) -> Tensor:
    """To the right, with zeros from the left: torch's own shift repeats the sign."""
    mask: int = 2 ** (64 - places) - 1
    return (bits >> places) & mask


def alias_table(q: Tensor) -> tuple[Tensor, Tensor]:
    """Walker's table of the probabilities `q`: (threshold in units of 2^-53, alias), both [V], built on the CPU.

    A column c out of V, all equally likely, keeps c with probability ``threshold[c] / 2^53`` and gives ``alias[c]``
    otherwise. What the light columns (less than 1 / V) lack, the heavy ones fill in turn; a heavy one that has thereby
    become light is itself filled by the next. Running sums tell all at once which fills which.

    Source: Walker (1977), "An efficient method for generating discrete random variables with general distributions";
    built in parallel as in Huebschle-Schneider and Sanders, arXiv 1903.00227, section 4.2.

    >>> alias_table(torch.tensor([0.25, 0.75]))[0] / 2**53   # half of column 0 goes to class 1
    tensor([0.5000, 1.0000])
    """
    q = q.detach().to("cpu", torch.float64)
    mass = q * (len(q) / q.sum())
    threshold, alias = torch.ones_like(mass), torch.arange(len(q), device="cpu")
    light, heavy = (mass < 1).nonzero()[:, 0], (mass >= 1).nonzero()[:, 0]
    if len(light) and len(heavy):  # else all are the same, but for rounding
        lack, spare = (1 - mass[light]).cumsum(0), (mass[heavy] - 1).cumsum(0)
        before = torch.cat([lack.new_zeros(1), lack[:-1]])
        filler = torch.searchsorted(spare, before, right=True)  # the first that has some left
        threshold[light], alias[light] = mass[light], heavy[filler.clamp(max=len(heavy) - 1)]
        last = torch.searchsorted(lack, spare[:-1]).clamp(max=len(lack) - 1)  # whose lack exhausts a heavy one
        threshold[heavy[:-1]] = 1 - (lack[last] - spare[:-1]).clamp(0, 1)
        alias[heavy[:-1]] = heavy[1:]
    return (threshold * COIN).round().long(), alias


class Noise(nn.Module):
    """A distribution of class indices 0 ... V - 1: it draws them, and knows the log of their probabilities."""

    def draw(self, key: Tensor, count: int, classes: int) -> Tensor:
        """`count` independent classes, [count], int64."""
        raise NotImplementedError

    def log_q(self, index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        """The log-probability of each class in `index`."""
        raise NotImplementedError


class Uniform(Noise):
    """Every class alike: ``q(c) = 1 / V``."""

    def draw(self, key: Tensor, count: int, classes: int) -> Tensor:
        return _shift(random_bits(key, count), 1) % classes  # of 2^63 numbers: even to V / 2^63

    def log_q(self, index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        return torch.full_like(index, -math.log(classes), dtype=dtype)


class LogUniform(Noise):
    """Zipf's law for classes in the order of falling frequency: ``q(c) = log((c + 2) / (c + 1)) / log(V + 1)``.

    Its distribution function has an inverse, ``exp(u log(V + 1)) - 1``, so that it needs no table.
    """

    def draw(self, key: Tensor, count: int, classes: int) -> Tensor:
        u = _shift(random_bits(key, count), 11).double() / COIN
        return (u * math.log(classes + 1)).exp().long().clamp(1, classes) - 1

    def log_q(self, index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        return (torch.log1p(1 / (index.to(dtype) + 1)) / math.log(classes + 1)).log()


class Unigram(Noise):
    """How often each class was seen, to a power: ``q(c)`` proportional to ``counts[c]^power``; by the alias method."""

    threshold: Tensor
    alias: Tensor
    log_q_fixed: Tensor

    def __init__(self, counts: Tensor, power: float) -> None:
        super().__init__()
        n = counts.detach().to("cpu", torch.float64)
        q = torch.where(n > 0, (n / n.max()) ** power, 0.0)  # n / max: no overflow; 0^0 is a class never seen, too
        q = q / q.sum()
        log_q = torch.where(q > 0, q.log(), NEVER)
        names, tables = ("threshold", "alias", "log_q_fixed"), (*alias_table(q), (log_q * FRACTION).round().long())
        for name, table in zip(names, tables, strict=True):
            self.register_buffer(name, table.to(counts.device))

    def draw(self, key: Tensor, count: int, classes: int) -> Tensor:
        column, coin = random_bits(key, 2 * count).view(2, count)
        column = _shift(column, 1) % classes
        return torch.where(_shift(coin, 11) < self.threshold[column], column, self.alias[column])

    def log_q(self, index: Tensor, classes: int, dtype: torch.dtype) -> Tensor:
        return self.log_q_fixed[index].to(dtype) / FRACTION


def noise(name: str, counts: Any, power: float) -> Noise:
    """The distribution of this name."""
    if name == "unigram":
        return Unigram(counts, power)
    return LogUniform() if name == "log_uniform" else Uniform()
