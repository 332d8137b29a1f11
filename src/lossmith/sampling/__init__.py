"""Samplers for imbalanced classes: which examples an epoch sees, with how many of each class.

An epoch is a draw from (seed, epoch) alone. It is the same on every rank, and a rank takes its own slice of it, so that
one process and many see the same examples. Give the samplers the targets of the training part only.
"""

from lossmith.sampling.batch import BalancedBatchSampler as BalancedBatchSampler
from lossmith.sampling.by_class import BalancedSampler as BalancedSampler
from lossmith.sampling.by_class import ClassSampler as ClassSampler
from lossmith.sampling.by_class import EffectiveNumberSampler as EffectiveNumberSampler
from lossmith.sampling.by_class import SquareRootSampler as SquareRootSampler
from lossmith.sampling.epoch import EpochSampler as EpochSampler
