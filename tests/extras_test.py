"""Without the extras: what needs torch alone works, and the rest says in one sentence what to install."""

import subprocess
import sys

PROGRAM = """
import sys, warnings

extras = "numpy scipy pandas sklearn matplotlib rich typer jinja2 plotly pyarrow keras jax tensorboard mlflow wandb"
sys.modules.update(dict.fromkeys(extras.split()))  # as if none of them were installed
warnings.simplefilter("ignore")  # torch misses NumPy
import torch, lossmith
from lossmith.monitor import MLflow, Table, TensorBoard, WandB

logits, labels = torch.zeros(2, 3, requires_grad=True), torch.tensor([0, 1])


def watched(*sinks):
    monitor = lossmith.LossMonitor(lossmith.FocalLoss(), every=1, sinks=sinks)
    monitor(logits, labels).backward()
    return monitor


assert len(list(lossmith.sampling.BalancedSampler([0, 0, 0, 1]))) == 4
assert lossmith.trainers.probabilities(lossmith.FocalLoss())(logits).shape == (2, 3)
assert watched().history[0]["loss"] > 0
for call in (
    lambda: lossmith.plot("focal"),
    lambda: watched().plot(),
    lambda: lossmith.jax,
    lambda: lossmith.keras,
    lambda: lossmith.numpy,
    lambda: lossmith.curve_fit([1, 2, 3], [1, 2, 3], "poly:1", "mse"),
    lambda: lossmith.boosting.LossClassifier(),
    lambda: watched(TensorBoard("runs")),
    lambda: watched(MLflow()),
    lambda: watched(WandB(project="x")),
    lambda: watched(Table()),
):
    try:
        call()
    except lossmith.errors.MissingError as error:
        print(error)
"""


def test_each_missing_extra_is_one_sentence() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == 11
    assert all(' is not installed: pip install "lossmith[' in line for line in said)
