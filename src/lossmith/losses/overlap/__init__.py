"""Overlap losses: how far a soft region misses the one that was drawn.

``family`` has the statistic, the soft counts of found, false and missed pixels; ``ratios`` the formulas of them;
``lovasz`` a loss that sorts the pixels instead; ``mixed`` sums with pixelwise losses that have names of their own.
"""

from lossmith.losses.overlap.family import *
from lossmith.losses.overlap.lovasz import *
from lossmith.losses.overlap.mixed import *
from lossmith.losses.overlap.ratios import *
