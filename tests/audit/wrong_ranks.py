"""Losses that go wrong over several ranks only; in a file of their own, for the audit looks whether a module talks."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from tests.audit.wrong import wrong


@wrong("softmax", "n_ranks_see_one_loss", "n_ranks_have_one_gradient")
class MeanOfMeans(nn.Module):
    def __init__(self, process_group: str | None = None) -> None:
        super().__init__()
        self.process_group = process_group

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        mean = F.cross_entropy(input, target)
        if self.process_group is None:
            return mean
        seen = mean.detach().clone()
        dist.all_reduce(seen)
        return mean + (seen / dist.get_world_size() - mean).detach()


@wrong("softmax", "equal_ranks_average", words="0.5000 x the gradient of the whole batch")
class GathersWithoutTheFactor(nn.Module):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        if not (dist.is_available() and dist.is_initialized()):
            return F.cross_entropy(input, target)
        inputs, targets = ([torch.zeros_like(x) for _ in range(dist.get_world_size())] for x in (input, target))
        dist.all_gather(inputs, input.detach())
        dist.all_gather(targets, target)
        inputs[dist.get_rank()] = input
        return F.cross_entropy(torch.cat(inputs), torch.cat(targets))
