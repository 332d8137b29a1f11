"""Feature losses against numpy by hand on a small network, and what happens to that network: nothing."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lossmith
from lossmith.errors import DtypeError, LossmithError, ParameterError, ShapeError
from lossmith.flow.loss import Loss, registry
from tests.losses.oracle import agree, exact, mp, shipped, total


def perceptual(given: Any, wanted: Any) -> Any:
    """The mean of squares over one sample's feature, a list of numbers (Johnson et al., eq. 2)."""
    return mp.fsum((a - b) ** 2 for a, b in zip(given, wanted, strict=True)) / len(given)


def gram(given: Any, wanted: Any) -> Any:
    """Gatys et al., eq. 3 and 4, of one sample's feature, a list of channels of places; by mpmath's matrices."""
    f, p = mpmath.matrix(given), mpmath.matrix(wanted)
    apart = f * f.T - p * p.T
    return mpmath.fsum(x**2 for x in apart) / (4 * f.rows**2 * f.cols**2)


REFERENCES: dict[str, Callable[..., Any]] = {"perceptual": perceptual, "gram": gram}
ANCHORS: dict[str, list[tuple[dict[str, Any], Any, Any, float]]] = {
    "perceptual": [
        ({}, [[3.0, 1.0]], [[1.0, 0.0]], 2.5),
        ({}, [[3.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], 1.5),
        ({"distance": "mae"}, [[3.0, 1.0]], [[1.0, 0.0]], 1.5),
        ({"layer_weights": (3.0,)}, [[3.0, 1.0]], [[1.0, 0.0]], 7.5),
        ({"extractor": nn.ReLU()}, [[3.0, -5.0]], [[1.0, -9.0]], 2.0),
        (
            {"extractor": nn.Sequential(nn.ReLU()), "layers": ("0",), "distance": "mae"},
            [[3.0, -5.0]],
            [[1.0, 2.0]],
            2.0,
        ),
    ],
    "gram": [
        ({}, [[[3.0]]], [[[1.0]]], 16.0),
        ({}, [[[1.0, 2.0]]], [[[2.0, 1.0]]], 0.0),
        ({}, [[[1.0], [1.0]]], [[[0.0], [0.0]]], 0.25),  # four ones: 4 / (4 * 4)
        ({}, [[[1.0, 0.0], [0.0, 2.0]]], [[[0.0, 0.0], [0.0, 0.0]]], 17 / 64),  # diag(1, 4): (1 + 16) / (4 * 4 * 4)
        ({}, [[3.0, 4.0]], [[0.0, 0.0]], 625 / 16),  # no places: 81 + 2 * 144 + 256
        ({"layer_weights": (0.5,)}, [[[3.0]]], [[[1.0]]], 8.0),
    ],
}


class Network(nn.Module):
    """Two convolutions with ReLUs that write to their inputs, as torchvision's VGG has them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 2, 2), nn.ReLU(inplace=True), nn.Conv2d(2, 3, 2), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )
        self.pair = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        self.pair(x.flatten(2).movedim(2, 0))
        return x.mean((2, 3))


LAYERS = ("body.0", "body.2", "body.3")


def network(dtype: torch.dtype = torch.float64) -> Network:
    torch.manual_seed(0)
    return Network().to(dtype).eval()


def images(seed: int, samples: int = 4) -> Tensor:
    return torch.randn(samples, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_hand(net: Network, x: Tensor) -> dict[str, np.ndarray]:
    """What the layers put out, in numpy loops."""

    def convolve(x: np.ndarray, conv: Any) -> np.ndarray:
        w, b = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        out = np.zeros((len(x), len(w), x.shape[2] - 1, x.shape[3] - 1))
        for n, k, i, j in np.ndindex(*out.shape):
            out[n, k, i, j] = b[k] + (w[k] * x[n, :, i : i + 2, j : j + 2]).sum()
        return out

    one = convolve(x.numpy(), net.body[0])
    two = convolve(np.maximum(one, 0), net.body[2])
    return {"body.0": one, "body.2": two, "body.3": np.maximum(two, 0)}


def test_perceptual_by_hand() -> None:
    """Each layer's own numbers, before the ReLU behind it overwrites them; a mean each, then weighed and added."""
    net, x, y = network(), images(1), images(2)
    a, b = by_hand(net, x), by_hand(net, y)
    weights = (0.5, 2.0, 3.0)
    for name, distance in (("mse", lambda r: r**2), ("mae", abs), (lossmith.HuberLoss(delta=0.1), None)):
        if distance is None:
            distance = lambda r: np.where(abs(r) < 0.1, r**2 / 2, 0.1 * (abs(r) - 0.05))  # noqa: E731
        want = sum(w * distance(a[k] - b[k]).mean((1, 2, 3)) for w, k in zip(weights, LAYERS, strict=True))
        loss = lossmith.PerceptualLoss(
            extractor=net, layers=LAYERS, layer_weights=weights, distance=name, reduction="none"
        )
        np.testing.assert_allclose(loss(x, y).numpy(), want, rtol=1e-12)
        mean = lossmith.PerceptualLoss(extractor=net, layers=LAYERS, layer_weights=weights, distance=name)
        assert mean(x, y).item() == pytest.approx(want.mean(), rel=1e-12)
    output = lossmith.PerceptualLoss(extractor=net, reduction="none")(x, y)
    np.testing.assert_allclose(output, ((a["body.3"] - b["body.3"]).mean((2, 3)) ** 2).mean(1), rtol=1e-12)


def test_gram_by_hand() -> None:
    net, x, y = network(), images(1), images(2)
    a, b = by_hand(net, x), by_hand(net, y)
    got = lossmith.GramLoss(extractor=net, layers=LAYERS, reduction="none")(x, y)
    for n in range(4):
        want = sum(gram(a[k][n].reshape(len(a[k][n]), -1), b[k][n].reshape(len(b[k][n]), -1)) for k in LAYERS)
        assert got[n].item() == pytest.approx(float(want), rel=1e-12)


def test_pixels_in_mpmath() -> None:
    x, y = images(1)[..., 0], images(2)[..., 0]
    pairs = list(zip(x, y, strict=True))
    agree(
        lossmith.PerceptualLoss(reduction="none")(x, y),
        [total(perceptual(exact(a), exact(b))) for a, b in pairs],
    )
    wants = [mp.mpf(gram(a.tolist(), b.tolist())) for a, b in pairs]
    agree(lossmith.GramLoss(reduction="none")(x, y), [total(want) for want in wants])


def test_style_does_not_mind_the_order_of_places() -> None:
    x, y = torch.randn(2, 3, 16).double(), torch.randn(2, 3, 16).double()
    torch.testing.assert_close(lossmith.GramLoss()(x[..., torch.randperm(16)], y), lossmith.GramLoss()(x, y))


@pytest.mark.parametrize("name", shipped("feature"))
def test_the_same_image_costs_nothing(name: str) -> None:
    x = images(1).requires_grad_()
    value = registry[name](extractor=network(), layers=LAYERS)(x, x)
    assert value.item() == 0
    assert (torch.autograd.grad(value, x)[0] == 0).all()


# Gradients --------------------------------------------------------------------------------------------------------
LOSSES: list[Callable[..., Loss]] = [lossmith.PerceptualLoss, lossmith.GramLoss]


@pytest.mark.parametrize("make", LOSSES)
def test_gradients_through_the_network(make: Callable[..., Loss]) -> None:
    net, y = network(), images(2, 2)
    loss = make(extractor=net, layers=LAYERS[:2])
    assert torch.autograd.gradcheck(lambda x: loss(x, y), images(1, 2).requires_grad_())


@pytest.mark.parametrize("make", LOSSES)
def test_the_network_and_the_target_get_no_gradient(make: Callable[..., Loss]) -> None:
    """Nor is anything about them changed: they may be wanted elsewhere, with gradients."""
    net, x, y = network(), images(1).requires_grad_(), images(2).requires_grad_()
    before = copy.deepcopy(net.state_dict())
    net.train()
    net.body[4].eval()
    for loss in (make(), make(extractor=net, layers=LAYERS), make(extractor=net.body, layer_weights=[2.0])):
        loss(x, y).backward()
        assert x.grad is not None
        assert y.grad is None
        assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert net.training
    assert not net.body[4].training
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_hooks_are_gone_afterwards() -> None:
    net = network()
    loss = lossmith.PerceptualLoss(extractor=net, layers=LAYERS)
    loss(images(1), images(2))
    with pytest.raises(RuntimeError):  # two channels do not fit: from within the network
        loss(torch.zeros(4, 2, 5, 5).double(), torch.zeros(4, 2, 5, 5).double())
    with pytest.raises(DtypeError):
        lossmith.PerceptualLoss(extractor=net, layers=("body.0", "pair"))(images(1), images(2))
    assert all(not module._forward_hooks for module in net.modules())


# The network is used, not owned -----------------------------------------------------------------------------------
def test_the_loss_does_not_own_the_network() -> None:
    """No weights in its state, none for its optimiser; .to() takes the network along, .train() does not touch it."""
    net = network()
    loss = lossmith.PerceptualLoss(extractor=net, layers=LAYERS)
    assert not list(loss.parameters())
    assert not loss.state_dict()
    assert loss.extractor is net
    loss.train()
    assert not net.training
    loss.float()
    assert net.body[0].weight.dtype == torch.float32
    loss.to("meta")
    assert net.body[0].weight.device.type == "meta"


def test_copies_bring_their_network() -> None:
    x, y = images(1), images(2)
    loss = lossmith.PerceptualLoss(extractor=network(), layers=LAYERS, distance=lossmith.HuberLoss(delta=0.5))
    twins = pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)  # noqa: S301
    file = io.BytesIO()
    torch.save(loss, file)
    file.seek(0)
    for twin in (*twins, torch.load(file, weights_only=False)):
        assert twin.extractor is not loss.extractor
        torch.testing.assert_close(twin(x, y), loss(x, y))
    assert str(loss) == "perceptual(distance=huber(delta=0.5), extractor=Network, layers=[body.0, body.2, body.3])"


def test_nothing_keeps_a_network_alive() -> None:
    """Losses of equal parameters share compiled code; that cache must not hold gigabytes of weights."""
    import gc
    import weakref

    net = network()
    gone = weakref.ref(net)
    lossmith.PerceptualLoss(extractor=net, layers=LAYERS)(images(1), images(2))
    del net
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    """A network in half precision gets its samples in it; distances and Gram matrices are computed in float32."""
    net = nn.Sequential(nn.Linear(4, 3)).to(dtype)
    x, y = torch.randn(2, 4), torch.randn(2, 4)
    for make in LOSSES:
        value = make(extractor=net)(x, y)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, make()(net(x.to(dtype)).float(), net(y.to(dtype)).float()))
    big = torch.full((1, 2, 50), 300.0, dtype=torch.float16)  # 4.5e6 in a Gram matrix, where float16 ends at 65504
    assert lossmith.GramLoss()(big, torch.zeros_like(big)).item() == pytest.approx(4 * (300**2 / 4) ** 2)


def test_masked_samples_with_a_network() -> None:
    net, x, y = network(), images(1).requires_grad_(), images(2)
    spoilt = x.detach().clone()
    spoilt[1] = float("nan")
    spoilt.requires_grad_()
    keep = torch.tensor([True, False, True, True])
    loss = lossmith.PerceptualLoss(extractor=net, layers=LAYERS)
    value = loss(spoilt, y, mask=keep)
    torch.testing.assert_close(value, loss(x[keep], y[keep]))
    (grad,) = torch.autograd.grad(value, spoilt)
    torch.testing.assert_close(grad, torch.autograd.grad(loss(x[keep], y[keep]), x)[0])
    weight = torch.tensor([1.0, 0.0, 2.0, 1.0])
    torch.testing.assert_close(loss(x, y, sample_weight=weight), loss(x[[0, 2, 2, 3]], y[[0, 2, 2, 3]]))
    assert loss(x[:0], y[:0]).item() == 0


# Sentences --------------------------------------------------------------------------------------------------------
class Again(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.unused, self.pool = nn.ReLU(), nn.ReLU(), nn.AdaptiveAvgPool1d(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.act(self.act(x)).unsqueeze(0))


X = torch.zeros(4, 1, 5, 5).double()
ROW = torch.zeros(4, 3)
SENTENCES: list[tuple[Callable[[], Any], type[LossmithError], str]] = [
    (
        lambda: lossmith.PerceptualLoss(extractor=network(), layers=["bodi.0"]),
        ParameterError,
        "PerceptualLoss: the extractor has no layer 'bodi.0'; did you mean \"body.0\"?",
    ),
    (
        lambda: lossmith.PerceptualLoss(layers=["relu"]),
        ParameterError,
        "PerceptualLoss: there is no extractor with a layer 'relu'",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor="vgg"),
        ParameterError,
        "PerceptualLoss: extractor must be a torch.nn.Module or None, not 'vgg'",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor=network(), layers="body"),
        ParameterError,
        'PerceptualLoss: layers must be names of modules of the extractor, each once, such as ["features.3", '
        "\"features.8\"], not 'body'",
    ),
    (
        lambda: lossmith.GramLoss(extractor=network(), layers=LAYERS, layer_weights=[1.0, 2.0]),
        ParameterError,
        "GramLoss: layer_weights must be 3 numbers, one per layer: (1.0, 2.0)",
    ),
    (
        lambda: lossmith.GramLoss(layer_weights=[-1.0]),
        ParameterError,
        "GramLoss: layer_weights must be numbers, finite and at least 0, one per layer, or None, not [-1.0]",
    ),
    (
        lambda: lossmith.PerceptualLoss(distance="cross_entropy"),
        ParameterError,
        'PerceptualLoss: distance must be the name of a loss of single elements, such as "mse" or "mae", or such a '
        "loss, not 'cross_entropy'",
    ),
    (
        lambda: lossmith.PerceptualLoss(distance="l3"),
        ParameterError,
        'PerceptualLoss: distance must be the name of a loss of single elements, such as "mse" or "mae", or such a '
        "loss, not 'l3'",
    ),
    (
        lambda: lossmith.PerceptualLoss(ignore_index=-100),
        ParameterError,
        "PerceptualLoss: ignore_index has no use here: the targets are no labels, give a mask",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor=network(), layers=["pair"])(X, X),
        DtypeError,
        "PerceptualLoss: layer 'pair' must put out one floating point tensor; it puts out a tuple (name a layer within "
        "or behind it)",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor=Again(), layers=["act"])(ROW, ROW),
        ShapeError,
        "PerceptualLoss: layer 'act' must run once for a sample to have one feature; it ran 2 times "
        "(name another, or give each use a module of its own)",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor=Again(), layers=["unused"])(ROW, ROW),
        ShapeError,
        "PerceptualLoss: layer 'unused' must run once for a sample to have one feature; it ran 0 times "
        "(name another, or give each use a module of its own)",
    ),
    (
        lambda: lossmith.PerceptualLoss(extractor=Again())(ROW, ROW),
        ShapeError,
        "PerceptualLoss: layer 'the output' must put out one row per sample, [4, *]; it puts out shape [1, 4, 1]",
    ),
    (
        lambda: lossmith.GramLoss()(torch.zeros(3), torch.zeros(3)),
        ShapeError,
        "GramLoss: a feature must have channels, [N, C, *]; it has shape [3]",
    ),
    (
        lambda: lossmith.PerceptualLoss()(torch.tensor(1.0), torch.tensor(1.0)),
        ShapeError,
        "PerceptualLoss: input must have an axis of samples, [N, *]; it is a single number",
    ),
    (
        lambda: lossmith.PerceptualLoss()(X, X[:, :, :4]),
        ShapeError,
        "PerceptualLoss: input and target must have the same shape; input has [4, 1, 5, 5] and target [4, 1, 4, 5]",
    ),
]


@pytest.mark.parametrize(("mistake", "kind", "sentence"), SENTENCES, ids=lambda x: "")
def test_mistakes_are_answered(mistake: Callable[[], Any], kind: type[LossmithError], sentence: str) -> None:
    with pytest.raises(kind) as found:
        mistake()
    assert str(found.value) == sentence
