"""Losses as a part of a LightningModule: checkpoints, parameters, devices, samplers over ranks."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import lossmith
from lossmith.sampling import BalancedSampler

lightning = pytest.importorskip("lightning")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # Lightning asks torch's own trees in a way that torch has deprecated (lightning-utilities 0.15, torch 2.13).
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
]
X, Y = load_digits(return_X_y=True)
X, Y = torch.tensor(X[:300] / 16, dtype=torch.float32), torch.tensor(Y[:300])
QUIET: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
QUIET |= {"accelerator": "cpu", "devices": 1, "enable_checkpointing": False}


class Model(lightning.LightningModule):
    def __init__(self, loss: torch.nn.Module, outputs: int = 10) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=["loss"])
        self.loss, self.net = loss, torch.nn.Linear(64, outputs)
        self.losses: list[float] = []

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        value = self.loss(self.net(batch[0]), batch[1])
        self.losses.append(value.item())
        return value

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=60, sampler=BalancedSampler(Y, seed=1))


def model_of(loss: torch.nn.Module, **options: Any) -> Model:
    torch.manual_seed(0)
    return Model(loss, **options)


def test_a_resumed_run_is_the_run_that_went_on(tmp_path: Path) -> None:
    """The losses after a restart are those without it: histogram of the loss, weights, optimiser, draw of the epoch."""
    whole = model_of(lossmith.GHMCLoss(momentum=0.9))
    lightning.Trainer(max_epochs=4, **QUIET).fit(whole, loader())

    half = lightning.Trainer(max_epochs=2, **QUIET)
    half.fit(model_of(lossmith.GHMCLoss(momentum=0.9)), loader())
    half.save_checkpoint(tmp_path / "half.ckpt")
    rest = model_of(lossmith.GHMCLoss(momentum=0.9))
    lightning.Trainer(max_epochs=4, **QUIET).fit(rest, loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert rest.losses == pytest.approx(whole.losses[-len(rest.losses) :], rel=1e-6)
    assert len(rest.losses) == 10


def test_state_left_out_of_the_checkpoint_would_show() -> None:
    """The same without the histogram gives other losses: the test above can fail."""
    model = model_of(lossmith.GHMCLoss(momentum=0.9))
    lightning.Trainer(max_epochs=2, **QUIET).fit(model, loader())
    scores = model.net(X).detach()
    assert abs(model.loss(scores, Y) - lossmith.GHMCLoss(momentum=0.9)(scores, Y)) > 1e-4


def test_validation_does_not_move_the_state() -> None:
    class Validated(Model):
        def validation_step(self, batch: Any, index: int) -> None:
            self.loss(self.net(batch[0]), batch[1])

    model = Validated(lossmith.GHMCLoss(momentum=0.5))
    lightning.Trainer(max_epochs=1, **QUIET).fit(model, loader(), DataLoader(TensorDataset(X, Y), batch_size=100))
    assert float(model.loss.correction) == pytest.approx(1 - 0.5**5)


def test_parameters_of_a_loss_are_trained_and_saved(tmp_path: Path) -> None:
    """An adaptive softmax holds weights of its own."""
    loss = lossmith.AdaptiveLogSoftmaxLoss(in_features=16, n_classes=10, cutoffs=[4, 7])
    model = model_of(loss, outputs=16)
    before = [weight.detach().clone() for weight in loss.parameters()]
    trainer = lightning.Trainer(max_epochs=1, **QUIET)
    trainer.fit(model, loader())
    assert all(bool((one != two).any()) for one, two in zip(before, loss.parameters(), strict=True))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    made = lossmith.AdaptiveLogSoftmaxLoss(in_features=16, n_classes=10, cutoffs=[4, 7])
    again = Model.load_from_checkpoint(tmp_path / "a.ckpt", loss=made, weights_only=True)
    torch.testing.assert_close(again.state_dict(), model.state_dict())


def test_buffers_move_with_the_module() -> None:
    model = model_of(lossmith.LDAMLoss(counts=[30] * 10) + lossmith.GHMCLoss(weight=[1.0] * 10)).to("meta")
    buffers = dict(model.loss.named_buffers())
    assert len(buffers) == 4
    assert {buffer.device.type for buffer in buffers.values()} == {"meta"}


def test_lightning_shares_out_the_draw_of_a_sampler() -> None:
    """What Lightning puts around a sampler on several ranks: together the draw, and the epoch reaches the sampler."""
    from lightning.fabric.utilities.distributed import DistributedSamplerWrapper

    draw = BalancedSampler(Y, seed=3)
    draw.set_epoch(2)
    wrapped = [
        DistributedSamplerWrapper(BalancedSampler(Y, seed=3), num_replicas=2, rank=rank, shuffle=False)
        for rank in range(2)
    ]
    for sampler in wrapped:
        sampler.set_epoch(2)
    pairs = list(zip(*wrapped, strict=True))
    assert list(itertools.chain.from_iterable(pairs)) == list(draw)
