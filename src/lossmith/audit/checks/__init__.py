"""The checks, one file per theme; importing this package enters them all, in the order of the report."""

import importlib

THEMES = (
    "basics",
    "minimum",
    "tails",
    "focus",
    "classes",
    "reductions",
    "ignoring",
    "batches",
    "ranks",
    "numbers",
    "legality",
    "torch_",
    "state",
    "overlap",
    "regression",
    "divergence",
    "comparison",
    "sequence",
)
for _theme in THEMES:
    importlib.import_module(f"{__name__}.{_theme}")
