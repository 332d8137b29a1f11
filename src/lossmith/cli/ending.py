"""How a command ends: exit codes, one sentence on standard error, files written whole or not at all."""

import sys
from pathlib import Path
from typing import Never

from lossmith.errors import InputError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


def leave(sentence: str, code: int) -> Never:
    """End with one sentence on standard error."""
    from lossmith.text import clean

    print(f"lossmith: {clean(sentence, 1000)}", file=sys.stderr)
    raise SystemExit(code)


def save(path: Path, content: str | bytes, option: str) -> None:
    """The content as a file, whole or not at all; `option` is where the path was given."""
    from lossmith.files import home_expanded, write_bytes

    try:
        write_bytes(home_expanded(path), content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}; give another {option}.") from error
