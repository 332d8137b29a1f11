"""``python -m bench [losses] [compare]``: print the tables that stand in bench/RESULTS.md."""

import sys

from bench import (
    boosting,
    compare,
    comparison,
    density,
    honesty,
    losses,
    memory,
    monitor,
    overlap,
    sampling,
    scaling,
    selection,
)
from bench.measure import machine

SUITES = {
    "losses": losses,
    "compare": compare,
    "density": density,
    "sampling": sampling,
    "comparison": comparison,
    "overlap": overlap,
    "boosting": boosting,
    "monitor": monitor,
    "selection": selection,
    "scaling": scaling,
    "memory": memory,
    "honesty": honesty,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"bench: no suite {unknown[0]!r}; there are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    print(f"# Results\n\nAs printed by `python -m bench {' '.join(names)}`".rstrip() + f", on {machine()}.\n")
    for name in names or SUITES:
        print(f"## {name}\n\n{SUITES[name].__doc__}\n\n{SUITES[name].report()}\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
