"""Paths that a person gave, and files that are written whole or not at all."""

import os
from pathlib import Path


def home_expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` as the home folder, where there is one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def write_text(path: Path, text: str) -> None:
    """Write a whole file of text or nothing, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: a new file beside it, synchronised, renamed over it.

    A symlink at ``path`` is replaced and never followed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
