"""What a saved model is given: rows of a table, or images; each finds its own in new data, as it was in training."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from lossmith.compare.data.columns import Known
from lossmith.compare.data.features import Encoder
from lossmith.compare.data.images import images_below, images_of, in_channels
from lossmith.compare.data.pictures import is_folder, root_of
from lossmith.compare.data.pixels import SUFFIXES
from lossmith.compare.data.task import Task, inputs_of
from lossmith.compare.data.text import TextEncoder
from lossmith.compare.runs.prepare import Encoders
from lossmith.compare.saved.rows import applied_to, new_rows, table_of
from lossmith.errors import InputError
from lossmith.table.frames import check_column
from lossmith.text import clean


@dataclass(frozen=True)
class Found:
    """New rows as a model sees them [N, ...], the ``names`` of files of a folder, and what else was there."""

    inputs: Tensor
    names: list[str] | None = None
    ignored_columns: list[str] = field(default_factory=list)
    ignored_files: int = 0


class Inputs(Protocol):
    """How new data become the inputs of a model."""

    noun: ClassVar[str]  # what a person calls them

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""

    def find(self, data: Any) -> Found:
        """The inputs in new data, in their order; `InputError` where these cannot be used."""

    def state(self) -> dict[str, Any]:
        """All of it as JSON."""


@dataclass(frozen=True)
class TableInputs:
    """Columns of a table: what they are, and what encodes them."""

    noun: ClassVar[str] = "rows"

    columns: dict[str, Known]
    encoders: Encoders
    text_model: str | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The width of an encoded row."""
        return (len(self.encoders.kinds) + sum(len(encoder.terms) for encoder in self.encoders.texts),)

    def find(self, data: Any) -> Found:
        """The columns of a file, a data frame or an array, encoded."""
        frame, ignored = new_rows(data, self.columns)
        arrays, _ = inputs_of(applied_to(frame, self.columns), len(frame), self.text_model)
        encoded = torch.from_numpy(self.encoders.transform(arrays, slice(None)))
        return Found(encoded, ignored_columns=ignored)

    def state(self) -> dict[str, Any]:
        """The columns, and what was learnt of them."""
        return {
            "columns": [{"name": name, **known._asdict()} for name, known in self.columns.items()],
            "encoder": None if self.encoders.table is None else self.encoders.table.state(),
            "texts": [encoder.state() for encoder in self.encoders.texts],
        }


@dataclass(frozen=True)
class ImageInputs:
    """Images of one size in grey (1 channel) or colour (3), in a folder or in a ``column`` of paths."""

    noun: ClassVar[str] = "images"

    column: str
    size: int
    channels: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width and channels."""
        return self.size, self.size, self.channels

    def find(self, data: Any) -> Found:
        """All images of a folder in the order of their paths, or those that a table names in the order of its rows."""
        if is_folder(data):
            names, pixels, others = images_below(data, self.size)
            return Found(self.tensor(pixels), names, ignored_files=others)
        if isinstance(data, str | Path) and str(data).lower().endswith(SUFFIXES):
            raise InputError(
                f"{clean(data, 200)} is one image; give the folder that it is in, or a table that names it."
            )
        frame, source = table_of(data)
        check_column(frame, self.column, source)
        pixels = images_of(frame[self.column].tolist(), root_of(data), self.size)
        return Found(self.tensor(pixels), ignored_columns=[name for name in frame.columns if name != self.column])

    def tensor(self, pixels: Any) -> Tensor:
        """Images with the model's channels."""
        return torch.from_numpy(in_channels(pixels, self.channels))

    def state(self) -> dict[str, Any]:
        """All of it."""
        return {"images": asdict(self)}


def inputs_in(task: Task, encoders: Encoders, text_model: str | None) -> Inputs:
    """The inputs that a task has."""
    if task.inputs == "table":
        return TableInputs(task.columns, encoders, text_model)
    (column,) = task.columns
    _, size, _, channels = task.arrays["images"].shape
    return ImageInputs(column, size, channels)


def inputs_from(words: dict[str, Any]) -> Inputs:
    """The inputs that a saved model has written down."""
    if "images" in words:
        return ImageInputs(**words["images"])
    return TableInputs(
        columns={known["name"]: Known(known["kind"], tuple(known["names"])) for known in words["columns"]},
        encoders=Encoders(
            None if words["encoder"] is None else Encoder.of(words["encoder"]),
            tuple(TextEncoder.of(state) for state in words["texts"]),
        ),
        text_model=words["about"]["text_model"],
    )
