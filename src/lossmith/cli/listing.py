"""``lossmith list``."""

from typing import Annotated

import typer


def list_losses(
    family: Annotated[str | None, typer.Option(help="Only the losses of this family.", show_default=False)] = None,
) -> None:
    """List every loss with its family, its parameters and what it is."""
    from rich.console import Console
    from rich.padding import Padding

    from lossmith import spec

    console = Console(highlight=False, markup=False)
    rows = spec.catalogue(family)
    for name in dict.fromkeys(row["family"] for row in rows):
        members = [row for row in rows if row["family"] == name]
        console.print(name.replace("_", " "), style="bold underline")
        if members[0]["shared"]:
            console.print(Padding(f"most of them take {members[0]['shared']}", (0, 0, 0, 2)), style="dim")
        for row in members:
            call = f"{row['name']}({row['parameters']})" if row["parameters"] else row["name"]
            console.print(Padding(call, (0, 0, 0, 2)), style="bold")
            console.print(Padding(row["summary"].replace("`", ""), (0, 0, 0, 6)))
        console.print()
    console.print(
        "Every loss also takes reduction, normalizer, ignore_index and process_group. Around any of them: sums such as "
        "0.7*focal + 0.3*poly, and lossmith.Regularized(loss, model=, l1=, l2=) for structural risk."
    )
