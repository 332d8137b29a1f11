"""A Python file of the user's own, run as a module: where a loss is named as ``path/to/file.py:Name``."""

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from lossmith.errors import LossmithError, SpecError


def module_of(path: str) -> ModuleType:
    """Run a file, once as long as it stays as it is, with its folder on the path for what it imports itself.

    The module knows its file, `__lossmith_file__`. Raises `SpecError` where the file is not there or fails.
    """
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise SpecError(f"there is no file {path}")
    name, written = f"lossmith_file_{hashlib.sha256(str(file).encode()).hexdigest()[:16]}", file.stat().st_mtime_ns
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__lossmith_written__", None) == written:
        return known
    found = importlib.util.spec_from_file_location(name, file)
    assert found is not None
    assert found.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    vars(module).update(__lossmith_file__=str(file), __lossmith_written__=written)
    sys.path.insert(0, str(file.parent))
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, LossmithError | KeyboardInterrupt):
            raise
        raise SpecError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.parent))
    return module
