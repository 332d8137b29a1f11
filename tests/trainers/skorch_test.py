"""Losses as skorch's criterion, and `probabilities`: from scores by the link of the loss."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

import lossmith
from lossmith.errors import ParameterError
from lossmith.trainers import probabilities

skorch = pytest.importorskip("skorch")
X, Y = load_breast_cancer(return_X_y=True)
X, Y = StandardScaler().fit_transform(X).astype("float32")[:200], Y[:200]


class Linear(torch.nn.Module):
    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(30, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def net(outputs: int = 2, criterion: Any = lossmith.FocalLoss, **options: Any) -> Any:
    torch.manual_seed(0)
    kind = skorch.NeuralNetClassifier if outputs > 1 else skorch.NeuralNetBinaryClassifier
    options["criterion"] = criterion
    return kind(Linear, module__outputs=outputs, max_epochs=3, lr=0.1, verbose=0, **options)


def test_two_scores_become_probabilities_by_softmax() -> None:
    model = net(predict_nonlinearity=probabilities(lossmith.FocalLoss())).fit(X, Y)
    raw = net().fit(X, Y).predict_proba(X)  # what skorch hands out without it: the scores
    assert not np.allclose(raw.sum(1), 1)
    np.testing.assert_allclose(model.predict_proba(X), softmax(raw, axis=1), rtol=1e-5)
    assert (model.predict(X) == Y).mean() > 0.9


def test_one_score_becomes_two_columns_by_sigmoid() -> None:
    loss = lossmith.FocalLoss(link="sigmoid")
    model = net(1, criterion__link="sigmoid", predict_nonlinearity=probabilities(loss)).fit(X, Y)
    scores = np.concatenate([batch.numpy() for batch in model.forward_iter(X)])
    np.testing.assert_allclose(model.predict_proba(X), np.stack([expit(-scores), expit(scores)], 1), rtol=1e-5)
    np.testing.assert_array_equal(model.predict(X), scores > 0)


def test_clone_pickle_and_grid_search() -> None:
    model = net(predict_nonlinearity=probabilities(lossmith.FocalLoss()), criterion__weight=[1.0, 3.0])
    with pytest.raises(ParameterError, match="gamma must be a number, at least 0, not -1"):
        clone(model).set_params(criterion__gamma=-1).fit(X, Y)
    search = GridSearchCV(model, {"criterion__gamma": [0.0, 2.0]}, cv=2, scoring="neg_log_loss").fit(X, Y)
    best = search.best_estimator_
    assert best.criterion_.gamma == search.best_params_["criterion__gamma"]
    again = pickle.loads(pickle.dumps(best))  # noqa: S301
    np.testing.assert_array_equal(again.predict_proba(X), best.predict_proba(X))
    assert str(again.criterion_) == str(best.criterion_)


def test_evaluation_does_not_move_the_state_of_a_loss() -> None:
    """skorch puts the criterion into evaluation mode for its validation part: GHM moves once per training batch."""
    after = probabilities(lossmith.GHMCLoss())
    model = net(criterion=lossmith.GHMCLoss, criterion__momentum=0.5, batch_size=80, predict_nonlinearity=after)
    model.fit(X, Y)
    batches = 3 * 2  # epochs, batches of 160 training rows
    assert float(model.criterion_.correction) == pytest.approx(1 - 0.5**batches)


# The function itself -----------------------------------------------------------------------------------------------
SCORES = np.array([[2.0, -1.0, 0.5], [-40.0, 0.0, 40.0]])


@pytest.mark.parametrize(
    ("loss", "scores", "expected"),
    [
        (lossmith.CrossEntropyLoss(), SCORES, softmax(SCORES, axis=1)),
        (lossmith.NLLLoss(), np.log(softmax(SCORES, axis=1)), softmax(SCORES, axis=1)),
        (lossmith.CrossEntropyLoss(link="prob"), softmax(SCORES, axis=1), softmax(SCORES, axis=1)),
        (lossmith.BCEWithLogitsLoss(), SCORES, expit(SCORES)),
        (lossmith.BCEWithLogitsLoss(), SCORES[1], np.stack([expit(-SCORES[1]), expit(SCORES[1])], 1)),
        (lossmith.BCELoss(), expit(SCORES[0]), np.stack([1 - expit(SCORES[0]), expit(SCORES[0])], 1)),
        (lossmith.create("focal + 0.5*poly"), SCORES, softmax(SCORES, axis=1)),
        (lossmith.DiceLoss(), SCORES, softmax(SCORES, axis=1)),
    ],
    ids=lambda value: str(value) if isinstance(value, torch.nn.Module) else "",
)
def test_probabilities_by_link(loss: Any, scores: np.ndarray, expected: np.ndarray) -> None:
    found = probabilities(loss)(torch.tensor(scores)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_half_precision_comes_back_in_float32() -> None:
    assert probabilities(lossmith.FocalLoss())(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lossmith.HingeLoss(), "hinge must have one link .* its scores are not logits"),
        (lossmith.create("focal + bce_with_logits"), "it has sigmoid, softmax"),
        (torch.nn.CrossEntropyLoss(), "must be a loss of lossmith"),
    ],
)
def test_no_probabilities(loss: Any, words: str) -> None:
    with warnings.catch_warnings(), pytest.raises(ParameterError, match=words):
        probabilities(loss)
