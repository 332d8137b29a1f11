"""A model in a folder: ``model.json``, and beside it the parameters in a format that cannot run code.

Networks are in ``model.safetensors``, trees in ``booster-0.json`` (XGBoost) or ``booster-0.txt`` (LightGBM) and so on.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lossmith.compare.runs.store import checksum
from lossmith.compare.runs.worker import plain
from lossmith.compare.saved.inputs import inputs_from
from lossmith.compare.saved.model import Model
from lossmith.compare.settings import TREES, Training
from lossmith.errors import InputError
from lossmith.extras import extra
from lossmith.files import home_expanded, write_bytes
from lossmith.text import as_clause, clean, quote

FORMAT = 1
NAME = "model.json"
TENSORS = "model.safetensors"
ENDINGS = {"xgboost": "json", "lightgbm": "txt"}
OURS = re.compile(r"model\.json|model\.safetensors|booster-\d{1,4}\.(json|txt)")
LARGEST = 1 << 31  # bytes of one file

Files = dict[str, bytes]


def check_place(folder: str | Path, force: bool) -> Path:
    """The folder to write to, or one sentence why it cannot be."""
    path = home_expanded(folder).absolute()
    shown = clean(path, 200)
    if path.is_symlink():
        raise InputError(f"{shown} is a symbolic link; give --out a real folder.")
    if not path.exists():
        return path
    if not force:
        raise InputError(f"{shown} is there already; give another --out, or --force to replace a model.")
    odd = [entry.name for entry in path.iterdir() if not OURS.fullmatch(entry.name)] if path.is_dir() else [path.name]
    if odd:
        raise InputError(
            f"{shown} is no model folder (it holds {quote(odd[0])}) and is not replaced; give another --out."
        )
    return path


def save(model: Model, folder: str | Path, force: bool = False) -> None:
    """Write all files into a folder beside the place, then rename it."""
    path = check_place(folder, force)
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{what}") for what in ("tmp", "old"))
    try:
        new.mkdir(parents=True)
        for name, content in files_of(model).items():
            write_bytes(new / name, content)
        if path.exists():
            path.rename(old)
        new.rename(path)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{clean(path, 200)} cannot be written: {reason}; give another --out.") from error
    finally:
        if old.exists() and not path.exists():
            old.rename(path)
        for left in (new, old):
            shutil.rmtree(left, ignore_errors=True)


def files_of(model: Model) -> Files:
    """Every file by its name."""
    words: dict[str, Any] = {
        "format": FORMAT,
        "about": model.about,
        "training": asdict(model.training),
        **model.inputs.state(),
        "rule": model.rule,
        "outputs": model.outputs,
        "scale": model.scale,
        "centre": model.centre,
    }
    if model.training.model in TREES:
        (state,) = model.states
        ending = ENDINGS[state["library"]]
        files = {f"booster-{k}.{ending}": text.encode() for k, text in enumerate(state["boosters"])}
        words["trees"] = {**state, "boosters": list(files)}
    else:
        named = {f"{k}.{name}": value for k, state in enumerate(model.states) for name, value in state.items()}
        files = {TENSORS: extra("safetensors.torch", "compare").save(named)}
        words["networks"] = len(model.states)
    words["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {**words, "check": checksum(words)}
    return {**files, NAME: (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()}


def load(folder: str | Path) -> Model:
    """The model in a folder, every file checked against the sum that was taken of it when it was written."""
    path = home_expanded(folder)
    if not path.is_dir():
        raise InputError(f"{clean(path, 200)} is no folder; give one that lossmith fit-best has made.")
    text = content(path / NAME)
    with damaged(path / NAME):
        words = json.loads(text)
        version, check = words["format"], words.pop("check")
    if version != FORMAT:
        raise InputError(
            f"{clean(path / NAME, 200)} has the format {quote(version)}, and this version of lossmith reads {FORMAT}; "
            "update lossmith, or run lossmith fit-best again."
        )
    with damaged(path):
        whole = checksum(words) == check and all(OURS.fullmatch(name) for name in words["files"])
        if not whole:
            raise ValueError(f"{NAME} is not as it was written")
        files = {name: content(path / name) for name in words["files"]}
        changed = [name for name, found in files.items() if hashlib.sha256(found).hexdigest() != words["files"][name]]
        if changed:
            raise ValueError(f"{changed[0]} is not as it was written")
        return model_of(words, files)


def content(path: Path) -> bytes:
    """The bytes of a file of a bearable size."""
    shown = clean(path, 200)
    if path.is_symlink() or not path.is_file():
        raise InputError(f"{shown} is missing; give a folder that lossmith fit-best has made.")
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{shown} has more than {LARGEST:,} bytes and is not read; fit the model again.")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{shown} cannot be read: {error.strerror or error}.") from error


@contextmanager
def damaged(path: Path) -> Generator[None]:
    """One sentence for whatever a damaged file makes of the work inside."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # every library that reads a part has errors of its own
        raise InputError(f"{clean(path, 200)} is damaged ({as_clause(error)}); run lossmith fit-best again.") from error


def model_of(words: dict[str, Any], files: Files) -> Model:
    """The model that these files are."""
    return Model(
        about=words["about"],
        training=Training(**plain(words["training"])),
        inputs=inputs_from(words),
        rule=words["rule"],
        outputs=words["outputs"],
        scale=words["scale"],
        centre=words["centre"],
        states=states_of(words, files),
    )


def states_of(words: dict[str, Any], files: Files) -> list[Any]:
    """The parameters of each network, or the state of the trees."""
    if "trees" in words:
        return [{**words["trees"], "boosters": [files[name].decode() for name in words["trees"]["boosters"]]}]
    tensors = extra("safetensors.torch", "compare").load(files[TENSORS])
    found: list[dict[str, Any]] = [{} for _ in range(words["networks"])]
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        found[int(number)][name] = value
    return found
