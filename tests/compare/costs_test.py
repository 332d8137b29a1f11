"""Costs and weights of decision rules: scikit-learn and searches over all thresholds as oracles."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, matthews_corrcoef

from lossmith.compare.remedies import rules
from lossmith.errors import InputError
from lossmith.metrics import encoded

SKLEARN = {
    "macro_f1": lambda y, d, w, k: f1_score(y, d, labels=range(k), average="macro", sample_weight=w, zero_division=0.0),
    "balanced_accuracy": lambda y, d, w, k: balanced_accuracy_score(y, d, sample_weight=w),
    "mcc": lambda y, d, w, k: matthews_corrcoef(y, d, sample_weight=w),
    "accuracy": lambda y, d, w, k: accuracy_score(y, d, sample_weight=w),
}


def sample(rows=60, classes=2, seed=0):
    """log p with ties, labels, weights."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.choice(classes, rows - classes, p=share(classes))])
    scores = np.round(generator.normal(size=(rows, classes)) + np.eye(classes)[labels] + np.eye(classes)[0], 1)
    log_p = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return log_p, labels, generator.choice([0.1, 1.0, 2.5, 7.0], rows)


def share(classes):
    return [0.7, *[0.3 / (classes - 1)] * (classes - 1)]


def metric_named(name, costs=(1.0, 8.0)):
    return rules.cost_of(costs) if name == "cost" else name


def test_the_metrics_have_an_oracle_each():
    assert set(SKLEARN) == set(rules.METRICS)


@pytest.mark.parametrize("metric", SKLEARN)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_weighted_scores_are_scikit_learns(metric, classes, scale):
    for seed in range(5):
        log_p, labels, weights = sample(50, classes, seed)
        decided = log_p.argmax(1)
        found = rules.score(metric, decided, labels, classes, scale * weights)
        assert found == pytest.approx(SKLEARN[metric](labels, decided, weights, classes), abs=1e-12)


@pytest.mark.parametrize("metric", SKLEARN)
@pytest.mark.parametrize("classes", [2, 4])
def test_without_weights_nothing_has_changed(metric, classes):
    for seed in range(5):
        log_p, labels, _ = sample(50, classes, seed)
        decided = log_p.argmax(1)
        plain = rules.score(metric, decided, labels, classes)
        assert plain == pytest.approx(encoded.decision(decided, labels, classes)[metric], abs=1e-12)
        assert plain == rules.score(metric, decided, labels, classes, np.ones(50))
        np.testing.assert_array_equal(rules.tune(log_p, labels, metric), rules.tune(log_p, labels, metric, np.ones(50)))


@pytest.mark.parametrize("metric", [*SKLEARN, "cost"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_weight_of_k_is_the_row_k_times(metric, classes):
    log_p, labels, _ = sample(70, classes)
    weights = np.append(np.arange(69) % 4, 3).astype(float)
    weights[:classes] = 1
    rows = np.repeat(np.arange(70), weights.astype(int))
    asked = metric_named(metric, [1.0, 8.0, 3.0][:classes])
    by_weight, by_hand = rules.tune(log_p, labels, asked, weights), rules.tune(log_p[rows], labels[rows], asked)
    values = [
        rules.score(asked, rules.decide(log_p[rows], found), labels[rows], classes) for found in (by_weight, by_hand)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    there = rules.score(asked, rules.decide(log_p, by_weight), labels, classes, weights)
    assert there == pytest.approx(values[0], abs=1e-9)


@pytest.mark.parametrize("metric", [*SKLEARN, "cost"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_threshold_of_two_classes_is_the_best_there_is(metric, weighted):
    for seed in range(5):
        log_p, labels, weights = sample(60, 2, seed)
        weights = weights if weighted else None
        asked = metric_named(metric)
        odds = log_p[:, 1] - log_p[:, 0]
        found = rules.score(asked, rules.decide(log_p, rules.tune(log_p, labels, asked, weights)), labels, 2, weights)
        cuts = np.concatenate([odds - 0.02, odds + 0.02])
        best = max(rules.score(asked, (odds > cut).astype(int), labels, 2, weights) for cut in cuts)
        assert found == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_tuning_for_costs_never_ends_below_the_plug_in_rule(classes, weighted):
    costs = [1.0, 8.0, 3.0, 0.5][:classes]
    asked, start = rules.cost_of(costs), rules.default_offsets(costs, classes)
    better = 0
    for seed in range(10):
        log_p, labels, weights = sample(80, classes, seed)
        weights = weights if weighted else None
        before = start.copy()
        tuned = rules.tune(log_p, labels, asked, weights, start)
        values = [rules.score(asked, rules.decide(log_p, rule), labels, classes, weights) for rule in (start, tuned)]
        assert values[1] >= values[0]
        better += values[1] > values[0]
        np.testing.assert_array_equal(start, before)
    assert better > 0


def test_rows_that_differ_by_rounding_alone_fall_on_one_side():
    """A cut between them could be counted as the best and then not be what the rule decides."""
    odds = np.array([0.1 + 0.2, 0.3, 0.3 - 1e-16, -1.0, -1.0 + 2e-16, 2.0])
    log_p, labels = np.column_stack([np.zeros(6), odds]), np.array([0, 1, 0, 0, 1, 1])
    cuts = rules.cut_points(-odds, 100)
    np.testing.assert_allclose(cuts, [-3.0, -1.15, 0.35, 2.0])
    found = rules.tune(log_p, labels, rules.cost_of([1, 5]))
    assert rules.score(rules.cost_of([1, 5]), rules.decide(log_p, found), labels, 2) == pytest.approx(-3 / 6)


def test_tuning_starts_where_it_is_told():
    """All rules are equally good here, so the one that is given stays."""
    log_p, labels, _ = sample(30)
    constant = rules.tune(log_p, labels, lambda hits, predicted, true: 0.0 * hits.sum(-1), start=np.array([0.5, 2.0]))
    np.testing.assert_array_equal(constant, [0.5, 2.0])


@pytest.mark.parametrize("name", rules.METRICS)
def test_a_constant_decision_under_odd_weights_is_worth_a_constant(name):
    labels = np.array([0, 1] * 20)
    for seed in range(20):
        weights = np.random.default_rng(seed).random(40)
        found = rules.score(name, np.ones(40, int), labels, 2, weights)
        right = weights[labels == 1].sum() / weights.sum()
        expected = {"macro_f1": right / (1 + right), "balanced_accuracy": 0.5, "mcc": 0.0, "accuracy": right}[name]
        assert found == pytest.approx(expected, abs=1e-12)


def test_the_plug_in_rule_has_the_least_expected_cost():
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(4), 500)
    costs = np.array([1.0, 20.0, 3.0, 0.2])
    expected = [[sum(costs[j] * row[j] for j in range(4) if j != k) for k in range(4)] for row in p]
    np.testing.assert_array_equal(rules.decide(np.log(p), rules.default_offsets(costs, 4)), np.argmin(expected, axis=1))


def test_costs_of_20_to_1_put_the_tuned_threshold_at_1_in_21():
    """Deciding positive costs (1 - p), negative 20 p: equal at p = 1/21 where the probabilities are right."""
    generator = np.random.default_rng(0)
    p = generator.beta(0.5, 3, 200_000)
    labels = (generator.random(len(p)) < p).astype(int)
    log_p = np.log(np.column_stack([1 - p, p]))
    offsets = rules.tune(log_p, labels, rules.cost_of([1, 20]), start=rules.default_offsets([1, 20], 2))
    assert 1 / (1 + np.exp(offsets[1] - offsets[0])) == pytest.approx(1 / 21, abs=0.006)


def test_the_cost_of_a_confusion_matrix_is_that_of_the_rule():
    log_p, labels, weights = sample(90, 3)
    costs = [1.0, 5.0, 0.5]
    decided = log_p.argmax(1)
    wrong = decided != labels
    by_hand = (weights * np.array(costs)[labels])[wrong].sum() / weights.sum()
    table = encoded.decision(decided, labels, 3, weights)["confusion"]
    assert rules.mean_cost(costs, table) == pytest.approx(by_hand)
    assert rules.score(rules.metric_of("cost", costs), decided, labels, 3, weights) == pytest.approx(-by_hand)
    assert str(rules.mean_cost([1, 2], [[3, 0], [0, 1]])) == "0.0"


TWO, MANY = ["healthy", "ill"], ["rare", "common", "other"]


@pytest.mark.parametrize(
    ("text", "classes", "positive", "costs"),
    [
        ("fn=10,fp=1", TWO, 1, [1, 10]),
        ("fn=10,fp=2", TWO, 0, [10, 2]),
        (" fn = 10 , fp = 0.5 ", TWO, 1, [0.5, 10]),
        ("fn=1e3", TWO, 1, [1, 1000]),
        ("ill=4,healthy=3", TWO, 1, [3, 4]),
        ("fn=4,healthy=3", TWO, 1, [3, 4]),
        ("rare=10,common=1", MANY, None, [10, 1, 1]),
        ("other=.5", MANY, None, [1, 1, 0.5]),
        ('"a,b"=3, "c"=2', ["a,b", "c", "d"], None, [3, 2, 1]),
        ("x=y=3,=z=2", ["x=y", "=z", "w"], None, [3, 2, 1]),
        ('"x=1,y=2"=3', ["x=1,y=2", "w"], 0, [3, 1]),
        ('5" pipe=3', ['5" pipe', "w"], 0, [3, 1]),
        ('"say ""a"""=3', ['say "a"', "w"], 0, [3, 1]),
        ('" padded "=3', [" padded ", "w"], 0, [3, 1]),
        ("fn=7", ["fn", "tp"], 1, [7, 1]),
        ("1=7,0=2", ["0", "1"], 1, [2, 7]),
    ],
)
def test_costs_are_read(text, classes, positive, costs):
    assert rules.parse_costs(text, classes, positive) == costs


@pytest.mark.parametrize(
    ("text", "classes", "said"),
    [
        ("", TWO, "cost is empty"),
        (" , ", TWO, "cost is empty"),
        ("fn", TWO, 'cost "fn" must be a class and a number, such as'),
        ("fn=10,,fp=1", TWO, 'cost "" must be a class'),
        ("fn=ten", TWO, 'cost of "fn" must be a number above 0 and at most 1e12, not "ten"'),
        ("fn=", TWO, 'not ""'),
        ("fn=0", TWO, 'above 0 and at most 1e12, not "0"'),
        ("fn=-3", TWO, 'not "-3"'),
        ("fn=nan", TWO, 'not "nan"'),
        ("fn=inf", TWO, 'not "inf"'),
        ("fn=1e300", TWO, 'not "1e300"'),
        ("il=3", TWO, 'unknown class "il"; did you mean "ill"?'),
        ("banana=3", TWO, 'unknown class "banana"; the classes are "healthy", "ill".'),
        ("fn=3,ill=2", TWO, 'class "ill" is given a cost twice'),
        ("fn=3", MANY, 'cost "fn" is for two classes, and this target has 3; name them: "rare", "common", "other".'),
        ("coommon=3", MANY, 'did you mean "common"?'),
        ("a\nb=3", TWO, "cannot be read"),
        ("x\x1b[31m=3", TWO, 'unknown class "x[31m"'),
    ],
)
def test_costs_that_cannot_be_used_are_one_sentence(text, classes, said):
    with pytest.raises(InputError) as caught:
        rules.parse_costs(text, classes, 1 if len(classes) == 2 else None)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
