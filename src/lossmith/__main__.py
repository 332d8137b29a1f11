"""``python -m lossmith`` is the command line."""

from lossmith.cli import main

main()
