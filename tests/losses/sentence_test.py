"""What a typical mistake is answered with: the whole sentence, so that no part of it can go missing."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

import lossmith
from lossmith.errors import DomainError, DtypeError, LossmithError, ParameterError, ShapeError

Z = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [1.0, 1.0, 4.0], [0.0, 0.0, -1.0]])
SENTENCES: list[tuple[str, Callable[[], Any], type[LossmithError], str]] = [
    (
        "shape",
        lambda: lossmith.HuberLoss()(torch.zeros(4, 1), torch.zeros(4)),
        ShapeError,
        "HuberLoss: input and target must have the same shape; input has [4, 1] and target [4]",
    ),
    (
        "integer input",
        lambda: lossmith.MAELoss()(torch.zeros(3, dtype=torch.int64), torch.zeros(3)),
        DtypeError,
        "MAELoss: input must be floating point; it is int64",
    ),
    (
        "NaN target",
        lambda: lossmith.MSELoss()(torch.zeros(3), torch.tensor([0.0, math.nan, 1.0])),
        DomainError,
        "MSELoss: target must be finite; 1 of 3 is not, first nan",
    ),
    (
        "zero target",
        lambda: lossmith.MAPELoss()(torch.ones(3), torch.tensor([0.0, 0.0, 1.0])),
        DomainError,
        "MAPELoss: target must be finite and not 0 (mask those units, or use SMAPELoss); 2 of 3 are not, first 0",
    ),
    (
        "negative count",
        lambda: lossmith.PoissonNLLLoss()(torch.zeros(2), torch.tensor([1.0, -2.0])),
        DomainError,
        "PoissonNLLLoss: target must be at least 0; 1 of 2 is not, first -2",
    ),
    (
        "negative variance",
        lambda: lossmith.GaussianNLLLoss()((torch.zeros(2), torch.tensor([1.0, -1.0])), torch.zeros(2)),
        DomainError,
        "GaussianNLLLoss: variance must be at least 0; 1 of 2 is not, first -1",
    ),
    (
        "no pair",
        lambda: lossmith.GaussianNLLLoss()(torch.zeros(2), torch.zeros(2)),
        DtypeError,
        "GaussianNLLLoss: input must be a pair of tensors (mean, variance)",
    ),
    (
        "labels 0 and 1",
        lambda: lossmith.HingeLoss()(torch.zeros(4), torch.tensor([0.0, 1.0, 1.0, 0.0])),
        DomainError,
        "HingeLoss: target must be -1 or 1 (from 0/1 labels: 2 * target - 1); 2 of 4 are not, first 0",
    ),
    (
        "column against row",
        lambda: lossmith.LogisticLoss()(torch.zeros(4, 1), torch.ones(4)),
        ShapeError,
        "LogisticLoss: input and target must have the same shape; input has [4, 1] and target [4]",
    ),
    (
        "three weights",
        lambda: lossmith.SquaredHingeLoss(weight=[1.0, 2.0, 3.0])(torch.zeros(4), torch.ones(4)),
        ShapeError,
        "SquaredHingeLoss: weight of a binary target must be [negative, positive] or [K, 2] for K labels; "
        "it has shape [3]",
    ),
    (
        "alpha above 1",
        lambda: lossmith.ExponentialLoss(alpha=2.0),
        ParameterError,
        "ExponentialLoss: alpha must be in [0, 1]: the share of the positives",
    ),
    (
        "misspelt",
        lambda: lossmith.PerceptronLoss(weigth=[1.0, 2.0]),
        ParameterError,
        "PerceptronLoss: no parameter 'weigth'; did you mean \"weight\"?",
    ),
    (
        "class 7 of 3",
        lambda: lossmith.FocalLoss()(Z, torch.tensor([7, 0, -1, 2])),
        DomainError,
        "FocalLoss: target must be class indices in [0, 3); 2 of 4 are not, first 7",
    ),
    (
        "float class indices",
        lambda: lossmith.CrossEntropyLoss()(Z, torch.tensor([0.0, 1.0, 2.0, 1.0])),
        DtypeError,
        "CrossEntropyLoss: target must be class indices (int64) of shape [4] or class probabilities (floating) "
        "of shape [4, 3]; it is float32 of shape [4]",
    ),
    (
        "too many targets",
        lambda: lossmith.PolyLoss()(Z, torch.tensor([0, 1, 2])),
        ShapeError,
        "PolyLoss: target must be class indices of shape [4] for input of shape [4, 3]; it has shape [3]",
    ),
    (
        "one score per example",
        lambda: lossmith.CrossEntropyLoss()(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)),
        ShapeError,
        "CrossEntropyLoss: input needs at least 2 classes along axis 1; shape [4, 1] has 1 "
        '(one score per example: link="sigmoid")',
    ),
    (
        "column against row",
        lambda: lossmith.BCEWithLogitsLoss()(torch.zeros(4, 1), torch.zeros(4)),
        ShapeError,
        "BCEWithLogitsLoss: input and target must have the same shape; input has [4, 1] and target [4]",
    ),
    (
        "probability 3",
        lambda: lossmith.BCELoss()(torch.tensor([0.5, 3.0]), torch.zeros(2)),
        DomainError,
        "BCELoss: input must be in [0, 1]; 1 of 2 is not, first 3",
    ),
    (
        "NaN target",
        lambda: lossmith.BCEWithLogitsLoss()(torch.zeros(2), torch.tensor([math.nan, 1.0])),
        DomainError,
        "BCEWithLogitsLoss: target must be in [0, 1]; 1 of 2 is not, first nan",
    ),
    (
        "target 255",
        lambda: lossmith.FocalLoss(link="sigmoid")(torch.zeros(3), torch.tensor([0, 255, 1])),
        DomainError,
        "FocalLoss: target must be in [0, 1]; 1 of 3 is not, first 255",
    ),
    (
        "rows that do not sum to 1",
        lambda: lossmith.LogLoss()(Z, torch.full((4, 3), 0.5)),
        DomainError,
        "LogLoss: target must be class probabilities, at least 0 and of sum 1; 4 of 4 are not, "
        "the first has least value 0.5 and sum 1.5",
    ),
    (
        "gamma below 0",
        lambda: lossmith.FocalLoss(gamma=-1),
        ParameterError,
        "FocalLoss: gamma must be a number, at least 0, not -1",
    ),
    (
        "misspelt",
        lambda: lossmith.FocalLoss(gama=1.0),
        ParameterError,
        "FocalLoss: no parameter 'gama'; did you mean \"gamma\"?",
    ),
    (
        "two weights for three classes",
        lambda: lossmith.CrossEntropyLoss(weight=[1.0, 2.0])(Z, torch.tensor([0, 1, 2, 0])),
        ShapeError,
        "CrossEntropyLoss: weight must have one number per class, shape [3]; it has shape [2]",
    ),
    (
        "negative weight",
        lambda: lossmith.CrossEntropyLoss(weight=[1.0, -2.0]),
        ParameterError,
        "CrossEntropyLoss: weight must be numbers, finite and at least 0, one per class, not [1.0, -2.0]",
    ),
    (
        "unknown link",
        lambda: lossmith.FocalLoss(link="logits"),
        ParameterError,
        'FocalLoss: link must be one of "softmax", "sigmoid", "log_prob", "prob", "binary_prob", not \'logits\'',
    ),
    (
        "one alpha for classes",
        lambda: lossmith.FocalLoss(alpha=0.25),
        ParameterError,
        "FocalLoss: over classes alpha must be one number per class",
    ),
    (
        "integer input",
        lambda: lossmith.FocalLoss()(Z.long(), torch.tensor([0, 1, 2, 0])),
        DtypeError,
        "FocalLoss: input must be floating point; it is int64",
    ),
    (
        "scheme",
        lambda: lossmith.class_weight("inverse", [1, 2]),
        ParameterError,
        "class_weight: scheme must be \"balanced\", not 'inverse'; see also effective_number",
    ),
    (
        "beta of 1",
        lambda: lossmith.effective_number([1, 2], beta=1.0),
        ParameterError,
        "effective_number: beta must be in [0, 1), not 1.0",
    ),
    (
        "negative count",
        lambda: lossmith.class_weight("balanced", [3, -1]),
        DomainError,
        "class_weight: counts must be at least 0; 1 of 2 is not, first -1",
    ),
    (
        "no example",
        lambda: lossmith.effective_number([0, 0]),
        DomainError,
        "effective_number: counts must hold at least one example; all 2 are 0",
    ),
    (
        "one class",
        lambda: lossmith.effective_number([5]),
        DomainError,
        "effective_number: counts must be one number per class for at least 2 classes; got [5]",
    ),
    (
        "weight of the wrong length",
        lambda: lossmith.MSELoss()(torch.zeros(3, 2), torch.zeros(3, 2), sample_weight=torch.ones(2)),
        ShapeError,
        "MSELoss: sample_weight must have one entry per unit, shape [3, 2], or one per sample, shape [3]; "
        "it has shape [2]",
    ),
    (
        "negative weight",
        lambda: lossmith.MSELoss()(torch.zeros(2), torch.zeros(2), sample_weight=torch.tensor([1.0, -1.0])),
        DomainError,
        "MSELoss: sample_weight must be at least 0; 1 of 2 is not, first -1",
    ),
    (
        "mask of numbers",
        lambda: lossmith.MSELoss()(torch.zeros(2), torch.zeros(2), mask=torch.ones(2)),
        DtypeError,
        "MSELoss: mask must be bool, True where a unit counts; it is float32",
    ),
    (
        "normalizer",
        lambda: lossmith.FocalLoss(normalizer="batch"),
        ParameterError,
        'FocalLoss: normalizer must be "weight", "count", "positives" or a number above 0, not \'batch\'',
    ),
    (
        "positives of numbers",
        lambda: lossmith.MSELoss(normalizer="positives"),
        ParameterError,
        'MSELoss: normalizer="positives" needs targets that name a class',
    ),
    (
        "reduction",
        lambda: lossmith.RMSELoss(reduction="none"),
        ParameterError,
        'RMSELoss: reduction must be "mean", not "none"',
    ),
    (
        "pos_weight over classes",
        lambda: lossmith.CrossEntropyLoss(pos_weight=2.0)(torch.zeros(2, 3), torch.tensor([0, 1])),
        ParameterError,
        "CrossEntropyLoss: pos_weight belongs to a binary link; over classes use alpha=",
    ),
]


@pytest.mark.parametrize(("case", "call", "kind", "sentence"), SENTENCES)
def test_a_mistake_is_named_in_one_sentence(
    case: str, call: Callable[[], Any], kind: type[LossmithError], sentence: str
) -> None:
    """Each is an error of ours, names the loss, and says what was expected and what was given."""
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
