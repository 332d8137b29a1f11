"""Which class each unit is of, as the loss's own domain of targets tells; most losses have none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lossmith.errors import ParameterError
from lossmith.flow.domain import Classes, Presence, Signs, Simplex
from lossmith.flow.labelled import LabelledLoss
from lossmith.monitor.listen import Part
from lossmith.text import clean

MOST = 50  # classes that are shown without being asked for
SIDES = ("negative", "positive")


def read_classes(given: Any) -> dict[str, list[int]] | None:
    """Class names in their order, or groups of class indices by name, as {name: indices}."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        found = {str(name): [int(k) for k in ([ks] if isinstance(ks, int) else ks)] for name, ks in given.items()}
    elif isinstance(given, Sequence) and not isinstance(given, str):
        found = {str(name): [k] for k, name in enumerate(given)}
    else:
        raise ParameterError(f"LossMonitor: classes must be names, or indices by name, not {given!r}")
    taken = [k for ks in found.values() for k in ks]
    if not found or len(set(taken)) < len(taken) or min(taken, default=0) < 0 or len(found) < len(given):
        raise ParameterError(f"LossMonitor: classes must have different names and each index once; given {given!r}")
    return {clean(name).replace("/", "-"): ks for name, ks in found.items()}


@dataclass(frozen=True)
class Membership:
    """The class of each unit: `index` [units], or `soft` [units, classes], the shares of the classes in it."""

    names: list[str]
    count: int  # of classes
    group: Tensor  # [classes]: the place of each class in `names`, or one past the end where it is in none
    index: Tensor | None = None
    soft: Tensor | None = None
    positive: Tensor | None = None  # of several labels: how positive each unit is

    def sums(self, x: Tensor) -> Tensor:
        """The sum of `x` [quantities, units] over the units of each name, [quantities, names]."""
        if self.index is not None:
            return self.grouped(x, self.group[self.index])
        assert self.soft is not None
        return self.grouped(x @ self.soft.to(x.dtype), self.group)

    def grouped(self, x: Tensor, place: Tensor) -> Tensor:
        """The sum of the columns of `x` that have the same place."""
        return x.new_zeros(len(x), len(self.names) + 1).index_add_(1, place, x)[:, :-1]


def membership(part: Part, groups: dict[str, list[int]] | None) -> Membership | None:
    """The classes of the units, if the target names any and they are few enough, or named."""
    target, units = part.target, part.units
    if target is None or units is None or not part.loss.takes_target:
        return None
    domain = part.loss.legal_target(target, units)
    if type(domain) is Classes and target.shape == units.shape:
        return _member(groups, domain.count, target.device, index=target.flatten())
    if type(domain) is Simplex and target.shape != units.shape:
        shares = target.detach().movedim(domain.axis, -1).reshape(-1, domain.count)
        return _member(groups, domain.count, target.device, soft=shares)
    if type(domain) is Signs:
        return _member(groups, 2, target.device, SIDES, index=(target > 0).long().flatten())
    if type(domain) is Presence and units.axis is None and target.shape == units.shape:
        one = target.detach().flatten()
        labelled = isinstance(part.loss, LabelledLoss) or part.loss.family == "overlap"
        labels = units.shape[1] if labelled and len(units.shape) > 1 else 1  # labels of their own lie along axis 1
        if labels == 1 or (groups is None and labels > MOST):
            one = one.to(torch.get_default_dtype())
            return _member(groups, 2, target.device, SIDES, soft=torch.stack([1 - one, one], 1))
        along = [-1 if axis == 1 else 1 for axis in range(len(units.shape))]
        label = torch.arange(labels, device=target.device).view(along).expand(units.shape)
        return _member(groups, labels, target.device, index=label.flatten(), positive=one)
    if domain is None and groups and target.shape == units.shape and not target.is_floating_point():
        count = _highest(groups) + 1  # labels of which nothing is known but the names that were given
        index = torch.where((target >= 0) & (target < count), target, count).flatten()
        return _member(groups, count, target.device, index=index)
    return None


def _member(
    groups: dict[str, list[int]] | None, count: int, device: torch.device, names: Sequence[str] = (), **of: Any
) -> Membership | None:
    """The names of the classes, as given or as they are, and each unit's place in them."""
    if groups is None:
        if count > MOST:
            return None
        groups = {name: [k] for k, name in enumerate(names or map(str, range(count)))}
    elif _highest(groups) >= count:
        raise ParameterError(f"LossMonitor: classes has index {_highest(groups)}, and the loss sees {count} classes")
    place = [len(groups)] * (count + ("index" in of))  # an index that has no name may stand for all that have none
    for k, indices in enumerate(groups.values()):
        for index in indices:
            place[index] = k
    return Membership(list(groups), count, torch.tensor(place, device=device), **of)


def _highest(groups: dict[str, list[int]]) -> int:
    return max(k for ks in groups.values() for k in ks)
