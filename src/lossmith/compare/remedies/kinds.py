"""What kind of loss a problem takes."""

from collections.abc import Sequence
from typing import Any


def kind_of_loss(loss: Any, families: Sequence[str], link: str | None) -> str:
    """What a loss is where it is of another family, or has another link, than a problem takes; else nothing."""
    for part in getattr(loss, "losses", [loss]):
        if part.family not in families:
            return f"{part.name} is a {part.family} loss"
        if link is not None and getattr(part, "link", link) != link:
            return f"{part.name} has the link {part.link}"
    return ""
