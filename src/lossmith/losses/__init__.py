"""Formulas only, one file per family, the family's statistic at the top of its file."""

from lossmith.losses.adaptive import *
from lossmith.losses.adversarial import *
from lossmith.losses.comparison import *
from lossmith.losses.contrastive import *
from lossmith.losses.density import *
from lossmith.losses.divergence import *
from lossmith.losses.feature import *
from lossmith.losses.likelihood import *
from lossmith.losses.margin import *
from lossmith.losses.overlap import *
from lossmith.losses.ranking import *
from lossmith.losses.residual import *
from lossmith.losses.sampling import *
from lossmith.losses.sequence import *
