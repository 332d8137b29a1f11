"""Keras on each backend, in a process of its own: a process has one. And what does not depend on the backend."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch

import lossmith
from lossmith import keras as losses
from lossmith.errors import DomainError, ParameterError, ShapeError
from tests.laws.cases import SHIPPED


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_the_law(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make tensorflow` runs this with it")
    program = [sys.executable, "-m", "tests.frameworks.keras_program"]
    done = subprocess.run(program, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": backend})
    assert done.returncode == 0, done.stderr[-3000:]
    assert "have torch's values and gradients" in done.stdout
    assert done.stdout.count(" -> ") == 16  # eight models learnt


def test_the_operations_for_tensorflow_are_those_of_torch() -> None:
    """The module of operations that TensorFlow needs, here on the backend that this process has."""
    from lossmith.arrays import of_keras, of_torch

    z, index = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(4, 3), torch.tensor([[0], [2], [1], [1]])
    for ops in (of_keras, of_torch):
        assert ops.is_floating(z)
        assert ops.dtype_name(index) == "int64"
    for call in (
        lambda ops: ops.take_along(z, index, 1),
        lambda ops: ops.put_along(z, index, -1.0, 1),
        lambda ops: ops.one_hot(index, z, 1),
        lambda ops: ops.at_least(z, 0.5),
        lambda ops: ops.sorted_down(z)[0],
        lambda ops: ops.flat(z.reshape(2, 2, 3), 1),
        lambda ops: ops.count(z, (1,)),
        lambda ops: ops.constant([1.0, 2.0], z),
        lambda ops: ops.entries(z[0], index),
        lambda ops: ops.logsigmoid(z),
        lambda ops: ops.argmax(z, 1, keepdim=True),
    ):
        torch.testing.assert_close(torch.as_tensor(call(of_keras)), call(of_torch), check_dtype=False)


def test_reductions_are_those_of_keras() -> None:
    z, y, w = np.array([[1.0, 0], [0, 2], [3, 0]], "float32"), np.array([0, 0, 1]), np.array([1.0, 3.0, 0.0], "float32")
    each = lossmith.numpy.cross_entropy_loss(z, y, reduction="none")
    for reduction, want in (
        ("none", each * w),
        (None, each * w),
        ("sum", (each * w).sum()),
        ("sum_over_batch_size", (each * w).sum() / 3),
        ("mean", (each * w).sum() / 3),
        ("mean_with_sample_weight", (each * w).sum() / 4),
    ):
        loss = losses.CrossEntropyLoss(reduction=reduction)
        np.testing.assert_allclose(np.asarray(loss(y, z, w)), want, rtol=1e-6)
        np.testing.assert_allclose(np.asarray(loss(y, z, w[:, None])), want, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 with NumPy 2
def test_steps_that_a_layer_masks_do_not_count() -> None:
    words, tags = np.array([[3, 1, 0, 0], [2, 0, 0, 0]]), np.array([[0, 1, 1, 1], [1, 0, 0, 0]])
    model = keras.Sequential([keras.layers.Embedding(5, 4, mask_zero=True), keras.layers.Dense(2)])
    scores = model(words)
    shown = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    z = np.moveaxis(keras.ops.convert_to_numpy(scores), -1, 1)
    want = lossmith.numpy.focal_loss(z, tags, mask=shown)
    got = keras.ops.convert_to_numpy(losses.FocalLoss()(tags, scores))
    assert float(got) == pytest.approx(float(want), rel=1e-6)
    model.compile(loss=losses.FocalLoss())
    assert model.evaluate(words, tags, verbose=0) == pytest.approx(float(want), rel=1e-6)


def test_targets_may_be_columns_rows_or_probabilities() -> None:
    z, y = np.array([[1.0, 0, 2], [0, 2, 1]], "float32"), np.array([2, 0])
    want = float(losses.FocalLoss()(y, z))
    for same in (y[:, None], y.astype("float32"), np.eye(3, dtype="float32")[y], y.tolist()):
        assert float(losses.FocalLoss()(same, z)) == pytest.approx(want, rel=1e-6)
    assert float(losses.MSELoss()(np.zeros(2), np.ones((2, 1)))) == 1.0


def test_configurations_make_the_same_loss() -> None:
    for loss in (
        losses.FocalLoss(gamma=1.0, class_weight={1: 3.0}, name="mine", reduction="sum"),
        losses.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]), label_smoothing=0.1),
        losses.create("focal(gamma=1) + 0.5*dice", reduction="sum"),
        losses.LDAMLoss(counts=(50.0, 5.0)),
    ):
        again = type(loss).from_config(loss.get_config())
        assert again.get_config() == loss.get_config()
        assert str(again.loss) == str(loss.loss)


def test_every_loss_is_offered_that_runs_there() -> None:
    shipped = {cls.__name__ for cls in SHIPPED.values()}
    assert set(dir(losses)) & shipped == {cls.__name__ for cls in SHIPPED.values() if cls.portable}


def test_bad_input_is_a_sentence() -> None:
    z = np.zeros((2, 3), "float32")
    for call, error, says in (
        (lambda: losses.FocalLoss()([0, 7], z), DomainError, "first 7"),
        (lambda: losses.FocalLoss(gama=1.0), ParameterError, 'did you mean "gamma"'),
        (lambda: losses.MSELoss(class_weight=[1, 2]), ParameterError, "weight"),
        (lambda: losses.FocalLoss(class_weight={"a": 1.0}), ParameterError, "class_weight must be"),
        (lambda: losses.MSELoss()(np.zeros((2, 1)), z), ShapeError, "same shape"),
        (lambda: losses.FocalLoss()(z, [0, 1]), ShapeError, "comes first"),
        (lambda: losses.FocalLoss()([0, 1], z, np.ones(3, "float32")), ShapeError, "one entry per sample"),
        (lambda: losses.create("ctc"), ParameterError, "torch alone"),
        (lambda: losses.CTCLoss, AttributeError, "torch alone"),
        (lambda: losses.FocaLoss, AttributeError, 'did you mean "FocalLoss"'),
    ):
        with pytest.raises(error, match=says):
            call()
