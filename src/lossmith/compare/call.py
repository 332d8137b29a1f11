"""The call: what is asked for, checked in the order in which it can be, before anything is written."""

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossmith.compare.environment import check_extra, cores
from lossmith.compare.runs.store import Store, folder_for
from lossmith.compare.session import Comparison, Session

if TYPE_CHECKING:
    from lossmith.compare.data.load import Roles, Room, Table
    from lossmith.compare.data.task import Task
    from lossmith.compare.runs.engine import Executor
    from lossmith.compare.settings import Settings, Training

DEMO = Path(__file__).parent / "demo" / "page-blocks.csv"
DEMO_TARGET = "block"
Names = str | Sequence[str] | None


def compare(data: Any = None, target: Names = None, **options: Any) -> Comparison:
    """Train the same model under many losses on one table, over repeated splits, and say which loss to use.

    Or train your own model on your own loaders: ``compare(model=make_net, train=..., valid=..., test=...)``.

    Parameters
    ----------
    data
        The path of a CSV, TSV or Parquet file, a data frame, or an array of features (then with ``y``). A folder with a
        folder of images for each class, or with ``images`` and ``masks``; a table may also name images in a column.
    target
        The column to predict: classes, or numbers. Several columns, or one with a ``separator``, are labels that are
        there or not.
    y
        The targets, where they are no column of ``data``.
    task
        ``"classification"`` or ``"regression"``, where the numbers of the target do not tell (``"auto"``).
    losses
        Specifications such as ``"focal(gamma=2)"`` or ``"my_losses.py:MyLoss"`` to compare with the usual loss; the
        name of a default arm stands for that arm, ``"all"`` for every loss that fits the table. All default arms where
        nothing is given.
    model
        ``"mlp"`` (the default), ``"linear"``, ``"xgboost"``, ``"lightgbm"``; ``"cnn"`` of images, ``"unet"`` of masks.
    repeats
        How many splits (8); below 6 no test is possible.
    metric
        What decides: ``"macro_f1"`` (the default), ``"balanced_accuracy"``, ``"mcc"``, ``"accuracy"`` or ``"cost"``; of
        numbers ``"mae"`` (the default), ``"rmse"``, ``"median_ae"``, ``"mape"`` or ``"smape"``.
    cost
        What wrong decisions cost, such as ``"fn=10,fp=1"``, or ``"rare=10"`` for rows of a class; then cost decides.
    group, time, weight
        Columns: rows of one group stay together; rows are split in the order of time; how much each row counts.
    slices
        Columns whose values get figures of their own in the report.
    test
        A second table (or its path) with the rows to be judged on in every repeat.
    separator
        What stands between the labels in a cell of the target.
    size
        The height and width that images are brought to (28 where they are small, else 64).
    memory
        What all processes together may take, such as ``"4GB"`` (half of what is there); of a larger file a sample is
        compared, and the report says what that does to the verdict.
    train, valid, test
        With your own model: loaders that give batches (inputs, targets) anew each time, such as a ``DataLoader`` or a
        list. ``model`` is then a function that returns a new ``torch.nn.Module``; it is called ``model(x)``,
        ``model(*x)`` of a tuple or ``model(**x)`` of a dict, and gives logits [N, C], [N, C, H, W] or [N, L], or
        numbers [N] or [N, 1] in the unit of the targets. All runs are made in this process, on the same rows: repeats
        differ in initial weights and order alone. ``task`` may also be ``"segmentation"`` or ``"multilabel"``.
    epochs, patience, learning_rate, optimizer, device, classes
        With your own model: at most 20 epochs, and 4 without a better score; AdamW with 1e-3, or a function of the
        parameters that returns an optimizer; ``"cuda"`` where there is one, else ``"cpu"``; the names of the classes.
    text_model
        A folder with a sentence-embedding model that reads text columns, instead of counting their words.
    engine, address
        ``"local"`` (the default), or ``"ray"``: runs are spread over the Ray cluster at an address such as
        ``"ray://host:10001"``, or over one that is started here.
    track
        ``"mlflow"``, ``"wandb"`` or ``"tensorboard"``: every run is logged there too, offline.
    budget, timeout
        The time for all (no limit) and for one run (an hour): seconds, or a text such as ``"10m"``.
    out
        The folder for the report and the finished runs; ``lossmith-report/<name of the data>-<target>`` where none
        is given, so that a second call goes on where the first one ended.
    seed, jobs, fresh, quiet
        The seed (0); the number of worker processes (all cores); whether to start over; whether to show no progress.

    Raises
    ------
    InputError
        For anything that cannot be used, in one sentence, before anything is written.
    KeyboardInterrupt
        After Ctrl-C, when the partial report has been written.
    """
    comparison = conduct(data, target, **options)
    if comparison.interrupted:
        raise KeyboardInterrupt(f"stopped; the partial report is {comparison.report}")
    return comparison


def conduct(data: Any = None, target: Names = None, **options: Any) -> Comparison:
    """As `compare`, but Ctrl-C ends in a partial `Comparison` that says so, and not in an exception."""
    from lossmith.errors import InputError

    check_extra()
    own = callable(options.get("model")) or "train" in options
    if (own and not (data is None and target is None)) or (data is None and not own):
        raise InputError("give data and its target, or your own model with train=, valid= and test=, and not both.")
    if not own:
        return of_data(data, target, **options)
    from lossmith.compare.own import of_loaders

    return of_loaders(**options)


def of_data(
    data: Any,
    target: Names = None,
    *,
    y: Any = None,
    losses: Names = None,
    model: str | None = None,
    repeats: int = 8,
    metric: str | None = None,
    cost: str | None = None,
    budget: str | float | None = None,
    timeout: str | float | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    jobs: int | None = None,
    fresh: bool = False,
    quiet: bool = False,
    test: Any = None,
    size: int | None = None,
    memory: str | int | None = None,
    engine: str = "local",
    address: str | None = None,
    track: str | None = None,
    **roles: Any,
) -> Comparison:
    """A comparison on a table, or on images."""
    from lossmith.compare import settings as options
    from lossmith.compare.data.load import Room
    from lossmith.compare.data.memory import memory_bytes
    from lossmith.compare.problems.asked import metrics_of
    from lossmith.compare.runs.engine import Stop
    from lossmith.compare.runs.prepare import splitter_of

    began = time.monotonic()
    found = roles_of(**roles)
    options.choose("engine", engine, ("local", "ray"))
    check_tracker(track)
    waiting = {"budget": options.seconds("budget", budget), "timeout": options.seconds("timeout", timeout)}
    workers = cores() if jobs is None else jobs
    options.within("jobs", workers, 1, 1024)
    options.within("seed", seed, 0, 2**32 - 1)
    room = Room(memory_bytes(memory), workers, seed)
    task = task_of(data, target, y, found, test, size, room)
    costs = costs_of(cost, task)
    settings = options.Settings(
        kind=task.goal.kind,
        inputs=task.inputs,
        model=model or options.DEFAULT_MODELS.get(task.inputs, "mlp"),
        metric=metric or ("cost" if costs else metrics_of(task.goal.kind)[0]),
        repeats=repeats,
        seed=seed,
        jobs=workers,
        budget=waiting["budget"],
        timeout=waiting["timeout"] or options.RUN_TIMEOUT,
        losses=options.losses_of(losses),
        costs=costs,
    )
    training = training_of(settings, task)
    splitter = splitter_of(task.arrays, training, task.classes)
    batch = training.batch_size(len(splitter.rows(0).train))
    store = Store(folder_for(task.source, task.target) if out is None else out)
    stop = Stop.after(began, settings.budget)
    executor = executor_of(engine, address)
    session = Session(settings, task, training, batch, splitter.describe(), store, stop, quiet, executor, track)
    return session.hold(fresh)


def check_tracker(track: str | None) -> None:
    """The tracker is known and installed."""
    from lossmith.compare.runs.tracking import TRACKERS
    from lossmith.compare.settings import choose
    from lossmith.errors import MissingError
    from lossmith.extras import installed

    if track is None:
        return
    choose("tracker", track, tuple(TRACKERS))
    if not installed(TRACKERS[track][0].partition(".")[0]):
        raise MissingError(f'{track} is not installed: pip install "lossmith[tracking]"')


def executor_of(engine: str, address: str | None) -> "Executor | None":
    """What makes the runs: the workers of this machine (None), or a Ray cluster."""
    from lossmith.errors import InputError
    from lossmith.extras import extra

    if engine == "local":
        if address is not None:
            raise InputError("an address is that of a Ray cluster; give --engine ray with it.")
        return None
    extra("ray", "ray")
    from lossmith.compare.runs.cluster import execute_on_ray

    return partial(execute_on_ray, address=address)


def task_of(
    data: Any, target: Names, y: Any, roles: "Roles", test: Any, size: int | None, room: "Room | None"
) -> "Task":
    """The task that a table, its images or a folder of images poses."""
    from lossmith.compare.data import pictures
    from lossmith.compare.data.load import load
    from lossmith.compare.data.task import infer
    from lossmith.errors import InputError

    if pictures.is_folder(data):
        if target is not None or y is not None or test is not None or roles.used or roles.slices:
            raise InputError(
                "a folder of images brings its own classes; give no target, test table or columns with it."
            )
        task = pictures.of_folder(data, size)
        return replace(task, origin={"path": absolute(data), **size_in(task)})
    table = load(data, target, y, roles, test, room)
    root = pictures.root_of(data)
    column = pictures.image_column(table, root)
    task = infer(table) if column is None else pictures.of_column(table, column, root, size)
    return replace(task, origin={**origin_of(data, test, table), **size_in(task)})


def origin_of(data: Any, test: Any, table: "Table") -> dict[str, Any]:
    """Where the rows came from and what their columns are for, so that `fit_best` can read them again."""
    roles = {
        **asdict(table.roles),
        "slices": list(table.roles.slices),
        "text_model": absolute(table.roles.text_model),
    }
    return {"path": absolute(data), "test": absolute(test), "targets": list(table.targets), "roles": roles}


def size_in(task: "Task") -> dict[str, int]:
    """The size that images were brought to, if there are any."""
    return {"size": task.arrays["images"].shape[1]} if "images" in task.arrays else {}


def absolute(given: Any) -> str | None:
    """The whole path of a file or folder; None of what is none."""
    from lossmith.files import home_expanded

    return str(home_expanded(given).absolute()) if isinstance(given, str | Path) else None


def roles_of(**roles: Any) -> "Roles":
    """What the columns are for; names of columns, or nothing."""
    from lossmith.compare.data.load import Roles
    from lossmith.compare.settings import choose

    slices = roles.pop("slices", None) or ()
    roles["slices"] = (slices,) if isinstance(slices, str) else tuple(map(str, slices))
    found = Roles(**{name: value for name, value in roles.items() if value is not None})
    choose("task", found.task, ("auto", "classification", "regression"))
    return found


def costs_of(text: str | None, task: "Task") -> dict[str, float] | None:
    """The cost of a wrong decision on a row of each class."""
    from lossmith.compare.remedies.rules import parse_costs
    from lossmith.errors import InputError

    if text is None:
        return None
    if task.goal.kind not in ("binary", "multiclass"):
        raise InputError(f"a cost belongs to wrong classes, and this is a {task.goal.kind} task; leave it out.")
    return dict(zip(task.classes, parse_costs(text, task.classes, task.positive), strict=True))


def training_of(settings: "Settings", task: "Task") -> "Training":
    """What the runs need to know."""
    from lossmith.compare.settings import MODELS, MOST_REPEATS, Training

    recipe, values = MODELS[settings.model], task.arrays["targets"]
    return Training(
        problem=task.goal.kind,
        model=settings.model,
        kinds=task.kinds,
        texts=sum(name.startswith("text:") for name in task.arrays),
        classes=len(task.classes),
        positive=task.positive,
        seed=settings.seed,
        metric=settings.metric,
        hidden=recipe.hidden,
        epochs=recipe.epochs,
        patience=recipe.patience,
        learning_rate=recipe.learning_rate,
        batch_sizes=recipe.batch_sizes,
        windows=settings.repeats if "times" in task.arrays else MOST_REPEATS,
        costs=tuple((settings.costs or {}).values()),
        above_zero=task.goal.kind == "regression" and bool((values > 0).all()),
        slices=task.slices,
    )
