"""The Python that trains with the winner, as text: the same model, loss, weights and rule as in the comparison."""

from itertools import pairwise
from typing import Any

from lossmith.compare.settings import OWN

HEAD = """\
import lossmith
import torch
from torch import nn
{imports}
# Put your own rows here: standardised features as float32, classes as 0 .. {last}.
features, classes = {features}, {classes}
x, y = torch.randn(1000, features), torch.arange(1000) % classes
x_validation, y_validation = torch.randn(500, features), torch.arange(500) % classes
"""

TRAIN = """
model = {model}
optimizer = torch.optim.AdamW(model.parameters(), lr={learning_rate}, weight_decay={weight_decay})
loss = lossmith.create({spec!r})
{preparation}
for epoch in range({epochs}):  # as long as the comparison, which stopped early on validation {noun}, on average
    for rows in torch.randperm(len(y)).split({batch}):
        optimizer.zero_grad()
        loss({logits}, y[rows]{weight}).backward()
        optimizer.step()
"""

TUNED = """
with torch.no_grad():  # the rule: offsets on log p, tuned on validation rows
    log_p = model(x_validation).double().log_softmax(1).numpy()
offsets = tune(log_p, y_validation.numpy(), {metric!r})
decided = decide(log_p, offsets)
"""

DEFAULT = """
with torch.no_grad():  # the rule: the most probable class
    decided = model(x_validation).argmax(1)
"""

COUNTS = "counts = torch.bincount(y.flatten(), minlength=classes)"
RULES = "\nfrom lossmith.compare.remedies.rules import decide, tune\n"


SAVED = """\
# On the command line, for a model of all rows: lossmith fit-best {folder} --out model
from lossmith.compare import load_model

model = load_model("model")
predicted = model.predict("{new}")
"""

NUMBERS = """\
import lossmith
import torch
from torch import nn

# Put your own rows here: standardised features as float32, and targets as they are.
features = {features}
x, y = torch.randn(1000, features), torch.randn(1000)
low, centre, high = torch.quantile(y, torch.tensor([0.25, 0.5, 0.75]))
scale = (high - low) / 1.349  # the unit of the loss: the spread of the targets, which no few far rows move

model = nn.Sequential({layers})
optimizer = torch.optim.AdamW(model.parameters(), lr={learning_rate}, weight_decay={weight_decay})
loss = lossmith.create({spec!r})

for epoch in range({epochs}):  # as long as the comparison, which stopped early on validation rows, on average
    for rows in torch.randperm(len(y)).split({batch}):
        optimizer.zero_grad()
        loss(model(x[rows])[:, 0] + centre / scale, y[rows] / scale).backward()
        optimizer.step()

predicted = model(x)[:, 0] * scale + centre
"""

MASKS = """\
import lossmith
import torch
from torch import nn
{imports}
# Put your own images, masks and network here: from an image to a score for each class in every pixel.
classes, size = {classes}, ({channels}, {height}, {width})
x, y = torch.rand(64, *size), torch.randint(classes, (64, *size[1:]))
x_validation, y_validation = torch.rand(16, *size), torch.randint(classes, (16, *size[1:]))
"""

TUNED_PIXELS = """
with torch.no_grad():  # the rule: offsets on log p, tuned on the pixels of validation images
    log_p = model(x_validation).double().log_softmax(1).movedim(1, 3).flatten(0, 2).numpy()
offsets = tune(log_p, y_validation.flatten().numpy(), {metric!r})
decided = decide(log_p, offsets).reshape(y_validation.shape)
"""


def snippet(results: dict[str, Any], recommended: dict[str, Any] | None) -> str:
    """A program that trains with the winner: on made-up rows where it is short, else from a saved model."""
    if recommended is None or results["settings"].get("model") == OWN:  # only the user knows the loop
        return ""
    settings, task = results["settings"], results["task"]
    arm = next(arm for arm in results["arms"] if arm["name"] == recommended["arm"])
    words = {
        "layers": layers([int(width) for width in settings.get("hidden") or []], task["kind"]),
        "learning_rate": float(settings.get("learning_rate") or 3e-3),
        "weight_decay": float(settings.get("weight_decay", 1e-2) or 0.0),
        "spec": recommended["spec"],
        "epochs": best_epochs(results, recommended["arm"]),
        "batch": int(settings.get("batch_size") or 128),
        "features": int(task.get("encoded_width") or max(1, len(task["features"]))),
    }
    if task["kind"] == "segmentation":
        return masks(words, results, arm, recommended)
    if not short(settings, task, arm):
        new = "folder-of-new-images" if settings.get("inputs") == "images" else "new-rows.csv"
        return SAVED.format(folder="the folder of this report", new=new)
    if task["kind"] == "regression":
        return NUMBERS.format(**words)
    tuned = recommended["rule"] == "tuned"
    head = HEAD.format(
        imports=RULES if tuned else "",
        features=words["features"],
        classes=len(task["classes"]),
        last=len(task["classes"]) - 1,
    )
    model = f"nn.Sequential({words['layers']})"
    body = TRAIN.format(model=model, noun="rows", **words, **class_terms(arm, recommended["params"]))
    return head + body + (TUNED.format(metric=settings.get("metric", "macro_f1")) if tuned else DEFAULT)


def masks(words: dict[str, Any], results: dict[str, Any], arm: dict[str, Any], recommended: dict[str, Any]) -> str:
    """The same for masks, with the smallest network that there is in place of the comparison's."""
    tuned = recommended["rule"] == "tuned"
    height, _, width, colours = results["task"]["features"][0]["kind"].split()
    head = MASKS.format(
        imports=RULES if tuned else "",
        classes=len(results["task"]["classes"]),
        channels=3 if colours == "colour" else 1,
        height=int(height),
        width=int(width),
    )
    model = "nn.Conv2d(size[0], classes, 3, padding=1)"
    body = TRAIN.format(model=model, noun="images", **words, **class_terms(arm, recommended["params"]))
    return head + body + (TUNED_PIXELS.format(metric=results["settings"]["metric"]) if tuned else DEFAULT)


def short(settings: dict[str, Any], task: dict[str, Any], arm: dict[str, Any]) -> bool:
    """Whether training is a few lines: dense networks on rows as they are, for classes or numbers."""
    plain = all(arm.get(part, "none") == "none" for part in ("resampling", "calibration")) and not arm.get("also")
    dense = settings.get("model", "mlp") in ("mlp", "linear") and settings.get("metric") != "cost"
    return plain and dense and task["kind"] in ("binary", "multiclass", "regression")


def best_epochs(results: dict[str, Any], arm: str) -> int:
    """After how many epochs an arm was at its best on validation rows, in the mean of its finished runs."""
    best = [record["epochs"] for record in results["records"] if record["arm"] == arm and record["status"] == "ok"]
    return max(1, round(sum(best) / len(best))) if best else 20


def layers(hidden: list[int], kind: str) -> str:
    """The arguments of ``nn.Sequential``, which ends in one number or in as many as there are classes."""
    sizes = ["features", *map(str, hidden)]
    inner = [f"nn.Linear({a}, {b}), nn.ReLU(), " for a, b in pairwise(sizes)]
    return "".join(inner) + f"nn.Linear({sizes[-1]}, {1 if kind == 'regression' else 'classes'})"


def class_terms(arm: dict[str, Any], params: dict[str, Any]) -> dict[str, str]:
    """The lines that an arm's class weights or its logit adjustment add."""
    terms = {"preparation": "", "logits": "model(x[rows])", "weight": ""}
    if arm.get("adjust"):
        tau = float(params.get("tau", 1.0))
        terms["preparation"] = f"{COUNTS}\nshift = {tau} * (counts / counts.sum()).log()  # in training only\n"
        terms["logits"] = "model(x[rows]) + shift"
    weights = {
        "balanced": 'lossmith.class_weight("balanced", counts)',
        "effective number": f"lossmith.effective_number(counts, beta={float(params.get('beta', 0.999))})",
    }.get(arm.get("weighting", "none"))
    if weights:
        terms["preparation"] += f"{COUNTS}\nweight = {weights}.float()\n"
        terms["weight"] = ", sample_weight=weight[y[rows]]"
    return terms
