"""Print docs/migrate.md."""

from bench.migrate import page

print(page(), end="")
