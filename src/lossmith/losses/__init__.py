"""Formulas only, one file per family, the family's statistic at the top of its file."""

from lossmith.losses.likelihood import *
from lossmith.losses.margin import *
from lossmith.losses.residual import *
