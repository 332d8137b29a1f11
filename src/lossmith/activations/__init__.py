"""Activation functions: what torch has is torch's; `Maxout`, `hardmax` and a comparison of all of them are ours.

``activations.GELU`` *is* ``torch.nn.GELU`` and ``activations.gelu`` is ``torch.nn.functional.gelu``: which there are is
read from the installed torch (`find`), so nothing is written twice and nothing has to be kept up to date. `table`
compares them by range, mean, saturation, slope and monotony, all of it measured; `markdown` writes that as a page.
"""

from typing import TYPE_CHECKING, Any

from lossmith.activations.comparison import Row as Row
from lossmith.activations.comparison import markdown as markdown
from lossmith.activations.comparison import table as table
from lossmith.activations.find import torch_functions, torch_modules
from lossmith.activations.maximum import Maxout as Maxout
from lossmith.activations.maximum import hardmax as hardmax
from lossmith.activations.measure import Flat as Flat
from lossmith.activations.measure import Span as Span

if TYPE_CHECKING:
    from torch.nn.modules.activation import *  # noqa: F403  (for editors: what `find` finds)


def __getattr__(name: str) -> Any:
    found = torch_modules() | torch_functions()
    if name in found:
        return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *torch_modules(), *torch_functions()])
