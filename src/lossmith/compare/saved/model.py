"""A trained model with all that it takes to predict from new rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lossmith.compare.data.pictures import COLUMN
from lossmith.compare.models import network
from lossmith.compare.models.build import build
from lossmith.compare.models.fitted import Floats, Prepared
from lossmith.compare.problems.regression import ends
from lossmith.compare.remedies import rules
from lossmith.compare.remedies.calibrators import calibrator_of
from lossmith.compare.runs.train import mean_probability
from lossmith.compare.saved.inputs import Found, Inputs
from lossmith.compare.settings import TREES, Training


@dataclass(frozen=True)
class Model:
    """What `fit_best` makes and `load_model` reads.

    ``about`` says in plain words and numbers what it is: "target", "kind", "classes", "arm", "spec", "epochs", "rows",
    "headline" and so on. ``inputs`` find what it needs in new data. ``states`` are the parameters of its networks
    (several of an ensemble), or of trees the one state that `models.trees` keeps.
    """

    about: dict[str, Any]
    training: Training
    inputs: Inputs
    rule: dict[str, Any]
    outputs: int
    scale: float
    centre: float
    states: list[Any]

    def __repr__(self) -> str:
        return f"<Model: {self.about['title']} for {self.about['target']}, {self.about['rows']:,} {self.inputs.noun}>"

    def predict(self, data: Any) -> pd.DataFrame:
        """A prediction for every row of a file, a data frame or an array, in the same order.

        Of a model of images, for every image that a table names, or that is in a folder: then in the order of their
        paths, which are the first column, ``image``.

        ``prediction`` and, of classes, ``p_<class>`` with the (calibrated) probabilities; of labels ``prediction`` has
        those that are there and ``p_<label>`` their probabilities; of numbers ``low`` and ``high`` are there where the
        arm has an interval.

        Raises `InputError` where a column is missing or holds what it cannot, and naming the first image that cannot be
        used.
        """
        return self.predictions(self.inputs.find(data))

    def predictions(self, found: Found) -> pd.DataFrame:
        """As `predict`, for what the inputs have found in the data."""
        predicted = self.predicted(self.raw(found.inputs))
        if found.names is not None:
            predicted.insert(0, COLUMN, found.names)
        return predicted

    def predicted(self, outputs: Tensor) -> pd.DataFrame:
        """What the outputs mean."""
        if self.training.problem == "regression":
            return self.numbers(outputs.double().numpy() * self.scale)
        if self.training.problem == "multilabel":
            return self.labels(torch.sigmoid(outputs.double()).numpy())
        return self.classes(torch.log_softmax(outputs.double(), dim=1).numpy())

    def save(self, folder: str | Path, force: bool = False) -> None:
        """Write the model to a new folder, whole or not at all; ``force`` replaces another model there."""
        from lossmith.compare.saved import folder as folders

        folders.save(self, folder, force)

    def raw(self, inputs: Tensor) -> Tensor:
        """The outputs for inputs, [N, outputs]."""
        if self.training.model in TREES:
            from lossmith.compare.models import trees

            return trees.predict(self.states[0], inputs)
        found = [network.predict(self.network(state), inputs) for state in self.states]
        return found[0] if len(found) == 1 else mean_probability(found)

    def network(self, state: dict[str, Tensor]) -> nn.Module:
        """A network with these parameters."""
        inputs = {"train": torch.zeros(0, *self.inputs.shape)}
        like = Prepared(0, inputs, {}, np.zeros(0, np.int64), scale=self.scale, centre=self.centre)
        with torch.random.fork_rng(devices=[]):
            made = build(self.training, like, self.outputs, seed=0)
        made.load_state_dict(state)
        return made

    def classes(self, log_p: Floats) -> pd.DataFrame:
        """The class that the rule decides for, and the probabilities of all."""
        if "calibration" in self.rule:
            log_p = calibrator_of(self.rule["calibration"]).apply(log_p)
        decided = rules.decide(log_p, np.asarray(self.rule["values"], np.float64))
        names = np.array(self.about["classes"], dtype=object)
        return self.beside({"prediction": names[decided]}, np.exp(log_p))

    def labels(self, probability: Floats) -> pd.DataFrame:
        """The labels whose probability is above their threshold, and the probabilities of all."""
        there = probability > np.asarray(self.rule["values"], np.float64)
        names = self.about["classes"]
        lists = [self.about["separator"].join(names[k] for k in np.flatnonzero(row)) for row in there]
        return self.beside({"prediction": np.array(lists, dtype=object)}, probability)

    def beside(self, columns: dict[str, Any], probability: Floats) -> pd.DataFrame:
        """Columns, and behind them the probability of each class or label."""
        named = {f"p_{name}": probability[:, k] for k, name in enumerate(self.about["classes"])}
        return pd.DataFrame({**columns, **named})

    def numbers(self, predicted: Floats) -> pd.DataFrame:
        """The number, and its conformal interval where the arm has one."""
        columns = {"prediction": predicted[:, 0]}
        if self.rule["kind"] == "interval":
            columns["low"], columns["high"] = ends(predicted, self.rule["reach"])
        return pd.DataFrame(columns)
