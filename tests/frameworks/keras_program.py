"""The law of Keras on one backend: ``KERAS_BACKEND=tensorflow python -m tests.frameworks.keras_program``.

Value and gradient of every loss that is offered are torch's; `model.fit` learns with focal, Dice and DSC on real data;
a saved model has its loss again. It prints what it saw and ends with an error where something is wrong.
"""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from sklearn.datasets import load_digits

from lossmith import keras as losses
from tests.frameworks.data import PORTABLE, of_torch
from tests.laws.cases import Case, leaves

backend = keras.backend.backend()
WEIGHT = torch.tensor([1.0, 2, 0.5, 3, 1, 1, 0, 2], dtype=torch.float64)


def value_and_gradient(loss: Any, target: Any, input: Any, weight: Any) -> tuple[Any, Any]:
    """By the backend's own differentiation."""
    if backend == "jax":
        import jax

        jax.config.update("jax_disable_most_optimizations", True)  # compiled once, and run once
        return jax.jit(jax.value_and_grad(lambda x: loss(target, x, weight)))(input)  # type: ignore[no-any-return]
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(input)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(target, x, weight)
        return value.numpy(), tape.gradient(value, x)
    x = torch.tensor(input, requires_grad=True)
    value = loss(target, x, weight)
    (grad,) = torch.autograd.grad(value, x)
    return value.item(), grad.numpy()


def last(x: np.ndarray[Any, Any], axes: int) -> np.ndarray[Any, Any]:
    """Classes behind, as Keras has them."""
    return np.moveaxis(x, 1, -1) if x.ndim >= axes else x


def check(case: Case) -> None:
    """Value and gradient, with sample weights, against torch in float64."""
    want, grads = of_torch(case, sample_weight=WEIGHT)
    input, target = case.data()
    assert target is not None
    classes = case.cls.unit != "element" and leaves(input)[0].dim() > 1
    xs = [last(x.numpy(), 2) if classes else x.numpy() for x in leaves(input)]
    y = last(target.numpy(), leaves(input)[0].dim()) if classes else target.numpy()
    x = xs[0] if len(xs) == 1 else np.stack(xs, -1)
    options = {**case.cls.example, **dict(case.options)}
    loss = getattr(losses, case.cls.__name__)(reduction="mean_with_sample_weight", **options)
    if not case.cls.differentiable:
        np.testing.assert_allclose(float(loss(y, x, WEIGHT.numpy())), want.item(), rtol=1e-9)
        return
    value, grad = value_and_gradient(loss, y, x, WEIGHT.numpy())
    np.testing.assert_allclose(float(value), want.item(), rtol=1e-9)
    given = [g.numpy() for g in grads]
    got = np.moveaxis(np.asarray(grad), -1, 0) if len(xs) > 1 else [np.asarray(grad)]
    for one, two in zip(got, given, strict=True):
        np.testing.assert_allclose(one, last(two, 2) if classes else two, rtol=1e-8, atol=1e-11)


def digits() -> tuple[Any, Any]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, the last five classes made rare."""
    x, y = load_digits(return_X_y=True)
    keep = (y < 5) | (np.arange(len(y)) % 8 == 0)
    return (x[keep] / 16).astype("float32"), y[keep]


def fit(name: str, model: Any, loss: Any, x: Any, y: Any, **options: Any) -> None:
    """A few epochs: the loss has to fall."""
    model.compile(keras.optimizers.Adam(0.01), loss=loss, metrics=["accuracy"])
    history = model.fit(x, y, epochs=5, batch_size=64, verbose=0, **options).history
    print(
        f"  {name}: loss {history['loss'][0]:.4f} -> {history['loss'][-1]:.4f}, "
        f"accuracy {history['accuracy'][0]:.3f} -> {history['accuracy'][-1]:.3f}"
    )
    assert history["loss"][-1] < 0.9 * history["loss"][0]


def network(*layers: Any) -> Any:
    return keras.Sequential(list(layers))


def main() -> None:
    warnings.filterwarnings("ignore")
    keras.config.set_floatx("float64")
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    for case in PORTABLE:
        try:
            check(case)
        except Exception as error:
            raise SystemExit(f"{case.label} on {backend}: {type(error).__name__}: {error}") from error
    print(f"{len(PORTABLE)} losses on {backend} have torch's values and gradients")

    keras.config.set_floatx("float32")
    keras.utils.set_random_seed(0)
    dense, conv = keras.layers.Dense, keras.layers.Conv2D
    x, y = digits()
    print(f"model.fit on {backend}, Keras {keras.__version__}, {len(x)} digits, 5 epochs:")
    for name, loss in (
        ("focal", losses.FocalLoss(gamma=2.0)),
        ("DSC", losses.DSCLoss()),
        ("focal + 0.5*poly", losses.create("focal + 0.5*poly")),
        ("cross-entropy, class_weight", losses.CrossEntropyLoss(class_weight=dict.fromkeys(range(5, 10), 8.0))),
    ):
        fit(name, network(keras.Input((64,)), dense(32, activation="relu"), dense(10)), loss, x, y)
    weights = {c: 1.0 if c < 5 else 8.0 for c in range(10)}
    mlp = network(keras.Input((64,)), dense(32, activation="relu"), dense(10, activation="softmax"))
    fit("focal of probabilities, class_weight of fit", mlp, losses.FocalLoss(link="prob"), x, y, class_weight=weights)
    pictures, ink = x.reshape(-1, 8, 8, 1), (x.reshape(-1, 8, 8) > 0.5).astype("int32")
    noisy = (pictures + np.random.default_rng(0).normal(0, 0.3, pictures.shape)).astype("float32")
    for name, loss in (("Dice", losses.DiceLoss()), ("Dice of the batch", losses.DiceLoss(per="batch"))):
        unet = network(keras.Input((None, None, 1)), conv(8, 3, padding="same", activation="relu"), conv(2, 1))
        fit(name, unet, loss, noisy, ink, sample_weight=np.ones(len(ink)) if name == "Dice" else None)
    one = network(keras.Input((None, None, 1)), conv(8, 3, padding="same", activation="relu"), conv(1, 1))
    fit("Dice of one label", one, losses.DiceLoss(link="sigmoid"), noisy, ink[..., None])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        mlp.save(path)
        again = keras.models.load_model(path)
    assert type(again.loss) is losses.FocalLoss
    assert again.loss.get_config()["link"] == "prob"
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), mlp.evaluate(x, y, verbose=0), rtol=1e-6)
    print("a saved model has its loss again")


if __name__ == "__main__":
    main()
