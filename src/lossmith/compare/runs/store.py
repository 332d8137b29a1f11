"""One JSON part for every finished run, so that a second call goes on where the first one ended.

A part is named by the hash of all that its run depends on; a part that cannot be read is computed again.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossmith.errors import InputError
from lossmith.files import home_expanded, write_text
from lossmith.text import clean


class StoreError(RuntimeError):
    """The output folder was lost or is full, in the middle of the work."""


def key_of(configuration: Mapping[str, Any]) -> str:
    """The name of a run: a hash of all that it depends on."""
    text = json.dumps(configuration, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def folder_for(source: str, target: str) -> Path:
    """Where the report goes by default: by data and target, so that two targets of a table have a report each."""
    words = (re.sub(r"[^\w.-]+", "_", word)[:60] for word in (Path(source).stem, target))
    return Path("lossmith-report") / "-".join(words).lstrip(".")


class Store:
    """The output folder: ``parts/<key>.json``, ``results.json`` and ``report.html``."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = home_expanded(folder)
        self.parts = self.folder / "parts"

    def open(self) -> None:
        """Make the folders, or say in one sentence why they cannot be used."""
        for folder in (self.folder, self.parts):
            if folder.is_symlink():
                raise InputError(f"{folder} is a symbolic link; give --out a real folder.")
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / ".writable", "")
            (self.folder / ".writable").unlink()
        except OSError as error:
            reason = error.strerror or error
            raise InputError(f"the folder {self.folder} cannot be written: {reason}; give another --out.") from error
        for stale in self.parts.glob(".*.tmp"):  # left by a killed call
            stale.unlink(missing_ok=True)

    def load(self, key: str) -> dict[str, Any] | None:
        """The finished record of a run; None where it is absent, damaged, or not a success."""
        path = self.parts / f"{key}.json"
        if path.is_symlink():
            return None
        try:
            part = json.loads(path.read_text(encoding="utf-8"))
            record: dict[str, Any] = part["record"]
            whole = part["key"] == key and part["check"] == checksum(record)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if whole and record.get("status") == "ok" else None

    def save(self, key: str, record: Mapping[str, Any]) -> None:
        """Keep a record; one of a failed run is for people, and its run is tried again by the next call."""
        part = {"key": key, "check": checksum(record), "record": record}
        self.write(f"{self.parts.name}/{key}.json", json.dumps(part, allow_nan=False))

    def write(self, name: str, text: str) -> None:
        """A file of the folder, or one sentence why it cannot be written any more."""
        try:
            write_text(self.folder / name, text)
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"the folder {clean(self.folder, 200)} can no longer be written: {reason}.") from error

    def forget(self, key: str) -> None:
        """Remove the record of a run that is to start over."""
        (self.parts / f"{key}.json").unlink(missing_ok=True)


def checksum(record: Mapping[str, Any]) -> str:
    """What a damaged part no longer has."""
    return hashlib.sha256(json.dumps(record, allow_nan=False).encode()).hexdigest()
