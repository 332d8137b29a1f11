"""The networks for images: shapes, seeds, rows on their own, and that they learn what they are for."""

import pytest
import torch
from torch.nn import functional as F

from lossmith.compare.models import networks

MAKE = {
    "cnn": lambda seed=0, size=28, channels=1, outputs=3: networks.cnn(channels, size, outputs, seed),
    "unet": lambda seed=0, size=28, channels=1, outputs=3: networks.unet(channels, outputs, seed, size),
}


def pixels(rows, height, width, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (rows, height, width, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize("size", [8, 28, 64, 100])
def test_shapes(size, outputs, channels):
    for name, shape in (("cnn", (2, outputs)), ("unet", (2, outputs, size, size))):
        model = MAKE[name](0, size, channels, outputs)
        found = model(pixels(2, size, size, channels))
        assert found.shape == shape
        assert found.dtype == torch.float32
        assert 1_000 < sum(p.numel() for p in model.parameters()) < 400_000


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 64), (9, 13), (31, 65)])
@pytest.mark.parametrize("size", [8, 64])
def test_the_unet_takes_any_height_and_width(size, height, width):
    found = MAKE["unet"](0, size)(pixels(2, height, width))
    assert found.shape == (2, 3, height, width)
    assert found.isfinite().all()


@pytest.mark.parametrize("name", MAKE)
def test_initial_weights_depend_on_the_seed_alone(name):
    torch.manual_seed(5)
    first, drawn = MAKE[name](1).state_dict(), torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))  # the stream of others is left as it was
    same, other = MAKE[name](1).state_dict(), MAKE[name](2).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", MAKE)
def test_bytes_are_numbers_from_0_to_1(name):
    model, given = MAKE[name](channels=3), pixels(2, 28, 28, 3)
    expected = model(given)
    torch.testing.assert_close(model(given.float() / 255), expected)
    kept = given.clone()
    model(given)
    assert torch.equal(given, kept)
    assert torch.equal(networks.channels_first(given)[1, 2, 3, 4], given[1, 3, 4, 2] / 255 * 2 - 1)


@pytest.mark.parametrize("name", MAKE)
def test_a_row_counts_for_itself_whatever_else_is_in_the_batch(name):
    model, given = MAKE[name]().train(), pixels(5, 28, 28)
    torch.testing.assert_close(model(given)[:1], model(given[:1]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", MAKE)
def test_every_parameter_has_a_gradient(name):
    model = MAKE[name](size=64)
    model(pixels(4, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def fitted(model, inputs, targets, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=7e-3)
    for step in range(steps):
        rows = torch.arange(32) + 32 * step % len(inputs)
        loss = F.cross_entropy(model(inputs[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("size", [28, 64])
def test_the_cnn_tells_bars_apart(size):
    """Lying and standing bars, somewhere, in noise: their pixels have the same distribution."""
    targets = torch.arange(160) % 2
    images = pixels(160, size, size) // 3
    places = torch.randint(2, size - 4, (160,), generator=torch.Generator().manual_seed(1))
    for image, place, target in zip(images, places.tolist(), targets.tolist(), strict=True):
        (image if target else image.transpose(0, 1))[place : place + 3] = 200
    model = fitted(MAKE["cnn"](size=size, outputs=2), images[:128], targets[:128], 24)
    with torch.no_grad():
        assert (model(images[128:]).argmax(1) == targets[128:]).float().mean() > 0.9


def test_the_unet_finds_squares_where_they_are():
    """Only squares that have a bright corner count, so a pixel's own value does not tell."""
    generator = torch.Generator().manual_seed(2)
    images, targets = pixels(96, 28, 28) // 4, torch.zeros(96, 28, 28, dtype=torch.int64)
    for image, target in zip(images, targets, strict=True):
        y, x = torch.randint(0, 18, (2,), generator=generator).tolist()
        image[y : y + 10, x : x + 10] = 120
        marked = bool(torch.rand((), generator=generator) < 0.6)
        if marked:
            image[y : y + 3, x : x + 3] = 255
            target[y : y + 10, x : x + 10] = 1
    model = fitted(MAKE["unet"](outputs=2), images[:64], targets[:64], 60)
    with torch.no_grad():
        found = model(images[64:]).argmax(1).bool()
    true = targets[64:].bool()
    assert (found & true).sum() / (found | true).sum() > 0.8
