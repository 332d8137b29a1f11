"""Likelihood losses: a formula f(log p) of the probability that the model gives to the target.

``family`` has the statistic and what a target may be; the other files hold the formulas, by what they are for.
"""

from lossmith.losses.likelihood.cross_entropy import *
from lossmith.losses.likelihood.family import *
from lossmith.losses.likelihood.focusing import *
from lossmith.losses.likelihood.partition import *
from lossmith.losses.likelihood.prior import *
from lossmith.losses.likelihood.robust import *
