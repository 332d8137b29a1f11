"""Arms: the same number of tries for everybody, and losses of one's own."""

import pytest
from tables import blobs, labelled, numbers, training

from lossmith.compare.data.load import load
from lossmith.compare.data.task import infer
from lossmith.compare.problems import problem_of
from lossmith.compare.remedies.arms import BASELINE, TRIES, Arm, default_arms, points, source_text
from lossmith.compare.remedies.choice import check_arms, choose_arms
from lossmith.errors import InputError, LossmithError


def problem_with(classes=3, frame=None, target="y", **options):
    return problem_of(training(infer(load(blobs(150, classes) if frame is None else frame, target)), **options))


OTHERS = {"regression": (numbers(), "y"), "multilabel": (labelled(), ["l0", "l1", "l2"])}


@pytest.mark.parametrize("kind", OTHERS)
def test_the_arms_of_other_kinds_have_the_same_number_of_tries_and_work(kind):
    frame, target = OTHERS[kind]
    problem = problem_with(frame=frame, target=target)
    arms = choose_arms(None, problem)
    assert arms[0].name == {"regression": "mse", "multilabel": "bce_with_logits"}[kind]
    assert len({arm.name for arm in arms}) == len(arms) >= 7
    assert all(len(arm.grid) == TRIES for arm in arms)
    check_arms(arms, problem)


def test_relative_errors_are_arms_only_where_every_target_is_above_zero():
    names = [
        {arm.name for arm in choose_arms(None, problem_with(frame=numbers().assign(y=numbers().y - shift)))}
        for shift in (0, 10)
    ]
    assert {"mape", "smape"} <= names[0]
    assert not {"mape", "smape"} & names[1]
    assert names[1] == names[0] - {"mape", "smape"}


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("regression", "focal", "focal is a likelihood loss; numbers take residual losses"),
        ("regression", "-1*mse", "makes the usual loss larger"),
        ("regression", "no_such", "no_such"),
        ("multilabel", "cross_entropy", "link softmax; labels take likelihood losses with link=sigmoid"),
        ("multilabel", "mse", "mse is a residual loss; labels take"),
    ],
)
def test_a_loss_of_another_kind_is_refused_with_one_sentence(kind, text, said):
    frame, target = OTHERS[kind]
    problem = problem_with(frame=frame, target=target)
    with pytest.raises(InputError, match=said) as caught:
        check_arms(choose_arms([text], problem), problem)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("balanced_batches", {"model": "lightgbm"}, "changes batches, which trees do not have"),
        ("balanced_ensemble", {"model": "xgboost"}, "changes batches, which trees do not have"),
        ("adasyn", {}, "there are categories; take smote"),
        ("smote", {"texts": 1}, "there are texts beside them"),
        ("smote", {"kinds": ()}, "there are none"),
    ],
)
def test_a_remedy_that_does_not_go_with_the_model_or_the_columns_is_no_default_and_refused_by_name(name, options, said):
    problem = problem_with(**options)
    assert name not in [arm.name for arm in choose_arms(None, problem)]
    with pytest.raises(InputError, match=said):
        check_arms(choose_arms([name], problem), problem)


def test_every_default_arm_has_the_same_number_of_tries_and_works():
    arms = default_arms()
    assert arms[0].name == BASELINE
    assert len({arm.name for arm in arms}) == len(arms)
    assert all(len(arm.grid) == TRIES for arm in arms)
    check_arms(arms, problem_with())


def test_the_default_arms_are_calibrated_cross_entropy_then_losses_then_other_rows():
    arms = {arm.name: arm for arm in default_arms()}
    assert [name for name, arm in arms.items() if arm.calibration != "none"] == list(arms)[1:4]
    assert [name for name, arm in arms.items() if arm.resampling != "none"] == list(arms)[-5:]
    assert list(arms)[1:4] == ["temperature", "isotonic", "prior_correction"]
    assert set(list(arms)[-5:]) == {
        "random_over",
        "random_under",
        "smote",
        "balanced_batches",
        "square_root_batches",
    }
    assert all(arm.spec(0) == BASELINE for name, arm in arms.items() if name in (*list(arms)[1:4], *list(arms)[-5:]))
    assert all(arm.about.endswith(".") for arm in arms.values())


def test_further_arms_are_known_by_name():
    chosen = choose_arms(["adasyn", "balanced_ensemble", "smote"], problem_with(2))
    assert [arm.resampling for arm in chosen] == ["none", "adasyn", "balanced_ensemble", "smote"]
    assert {"adasyn", "balanced_ensemble"}.isdisjoint(arm.name for arm in default_arms())


@pytest.mark.parametrize("field", ["resampling", "calibration"])
def test_an_arm_with_an_unknown_remedy_cannot_be_made(field):
    with pytest.raises(ValueError, match="a resampling or a calibration that there is not"):
        Arm("wrong", "", "", BASELINE, **{field: "smoothed"})


def test_an_arm_with_another_number_of_tries_cannot_be_made():
    with pytest.raises(ValueError, match=f"every arm has {TRIES}"):
        Arm("greedy", "", "", "focal(gamma={gamma})", grid=points(gamma=(1, 2, 3, 4)))


def test_given_losses_stand_beside_the_baseline_and_names_are_default_arms():
    arms = choose_arms(["focal", "focal(gamma=3)", "0.5*focal + 0.5*poly", "focal"], problem_with(3))
    assert [arm.name for arm in arms] == [BASELINE, "focal", "focal(gamma=3)", "0.5*focal + 0.5*poly"]
    assert arms[1].describe()["grid"] == {"gamma": [0.5, 1.0, 2.0]}
    assert arms[2].spec(0) == arms[2].spec(2) == "focal(gamma=3)"
    check_arms(arms, problem_with(2))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("focall", "focal"),
        ("focal(gamma=-1)", "gamma"),
        ("focal(gama=1)", "gamma"),
        ("mse", "mse is a residual loss; a table with classes takes likelihood losses over classes"),
        ("hinge", "hinge is a margin loss; a table"),
        ("focal + 0.5*huber", "huber is a residual loss"),
        ("focal(link=sigmoid)", "focal has the link sigmoid"),
        ("0*poly", "gradient is zero"),
        ("-1*poly", "makes the usual loss larger"),
        ("zero_one", "zero_one"),
        ("focal(reduction=none)", "one number"),
        ("no_such_file.py:Loss", "no_such_file.py"),
        ("__import__('os')", "read"),
        (" ", "empty"),
    ],
)
def test_losses_that_cannot_be_trained_are_refused_with_one_sentence(text, said):
    with pytest.raises(LossmithError, match=said) as caught:
        check_arms(choose_arms([text], problem_with()), problem_with())
    assert isinstance(caught.value, InputError)
    assert "\n" not in str(caught.value)


def test_all_is_every_loss_that_names_classes():
    """Found by trying, no list is kept: losses of numbers, pairs and embeddings do not fit, aliases count once."""
    problem = problem_with(frame=blobs(150, 3).drop(columns="word"))  # ADASYN takes numbers alone
    arms = choose_arms(["all"], problem)
    names = [arm.name for arm in arms]
    assert names[: len(default_arms())] == [arm.name for arm in default_arms()]
    assert {"dice", "ldam", "symmetric_cross_entropy", "dsc", "adasyn", "balanced_ensemble"} <= set(names)
    assert not {"mse", "hinge", "nll", "log", "info_nce", "supervised_contrastive", "ctc", "z"} & set(names)
    check_arms(arms, problem)
    ldam = next(arm for arm in arms if arm.name == "ldam")
    assert "counts=[7, 2, 1]" in ldam.spec(0, [7, 2, 1])


def test_the_text_of_ones_own_file_belongs_to_the_arm(tmp_path):
    (tmp_path / "mine.py").write_text("first")
    arm = choose_arms([f"2*{tmp_path}/mine.py:Mine(gamma=2) + focal"], problem_with())[1]
    assert source_text(arm) == "first"


def test_a_file_in_a_path_with_spaces_belongs_to_the_arm_too(tmp_path):
    (tmp_path / "sp ace").mkdir()
    (tmp_path / "sp ace" / "mine.py").write_text("first")
    for ending in ("Mine", "Mine(gamma=2)"):
        assert source_text(choose_arms([f"{tmp_path}/sp ace/mine.py:{ending}"], problem_with())[1]) == "first"
