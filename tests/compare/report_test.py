"""The report: whole in every situation, closed to everything outside, and deaf to hostile names."""

import html
import json
import re
import shutil
import subprocess
from functools import cache
from html.parser import HTMLParser

import pytest
import sample_results
from hostile_names import HOSTILE

from lossmith.compare.report import figures, panels
from lossmith.compare.report import html as report
from lossmith.compare.verdict.judge import judge
from lossmith.compare.verdict.records import Runs

FEW = [arm for arm in sample_results.ARMS if arm[0] in ("cross_entropy", "focal", "class_balanced")]
BINARY = {"classes": ["no", "yes"], "counts": [900, 100]}
SMALL = {"arms": FEW, "test_rows": 60}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, text outside of scripts, scripts, and unclosed tags."""

    VOID = ("meta", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.scripts, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("th", "td", "li", "p"):
            self.words.append(" ")
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        (self.scripts if inside == "script" else self.words).append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@cache
def ordinary():
    return report.render(sample_results.make(repeats=6, failed=[("focal", 1)], **SMALL))


def rendered(**more):
    return report.render(sample_results.make(**{"repeats": 2, **SMALL, **more}))


def data_of(text):
    found = re.search(r'<script type="application/json" id="figure-data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found.group(1))


class TestWhole:
    def test_the_verdict_comes_first_and_every_section_is_there(self):
        found = sample_results.make(repeats=6, failed=[("focal", 1)], **SMALL)
        page = Page(ordinary())
        headings = re.findall(r"<h2 id=\"([a-z-]+)\"", ordinary())
        asked = "question-rank question-decide question-trust"
        measured = "curves by-class confusion slices tradeoff calibration learning gradient times weighting"
        expected = f"verdict leaderboard {asked} {measured} snippet failures arms data settings words"
        assert headings == expected.split()
        assert [a["href"] for a in page.all("a") if a["href"][1:] in headings[1:]][-len(headings) + 1 :] == [
            f"#{name}" for name in headings[1:]
        ]
        verdict = judge(found)
        assert " ".join(verdict["headline"].split()) in page.text
        assert all(sentence in page.text for sentence in verdict["sentences"])
        assert page.text.index(verdict["headline"]) < page.text.index("Leaderboard")

    def test_under_six_megabytes(self):
        assert len(ordinary().encode()) < 6_000_000

    def test_it_shows_the_verdict_that_results_hold(self):
        found = sample_results.make(repeats=2, **SMALL)
        found["verdict"] = judge(found) | {"headline": "Something else."}
        assert "Something else." in Page(report.render(found)).text

    def test_every_figure_has_a_place_and_every_place_a_figure(self):
        places = [a["data-figure"] for _, a in Page(ordinary()).tags if "data-figure" in a]
        assert sorted(places) == sorted(data_of(ordinary())["figures"])
        assert len(places) == len(set(places)) == 10 + 3 * len(FEW)

    def test_settings_versions_and_data_facts(self):
        text = Page(ordinary()).text
        for words in (
            "early stopping average precision on validation",
            "torch 2.13.0",
            "row id different in every row",
        ):
            assert words in text
        assert "3 without a target were dropped" in text
        assert "the training loss is not finite in epoch 3" in text

    def test_it_says_which_risk_it_shows(self):
        found = sample_results.make(repeats=2, **SMALL)
        found["settings"]["weight_decay"] = 0.025
        text = Page(report.render(found)).text
        assert "Empirical risk is a mean loss over rows; structural risk adds a penalty on the model's weights." in text
        assert "No figure here has a penalty in it, and arms are compared on test rows" in text
        assert "while AdamW shrinks the weights (weight decay 0.025)" in text

    def test_how_often_every_parameter_was_chosen(self):
        found = sample_results.make(repeats=2, **SMALL)
        for record in found["records"]:
            record["chosen"] = 2
        assert "2 × gamma = 2" in Page(report.render(found)).text

    def test_the_snippet_is_there_as_it_is(self):
        found = sample_results.make(repeats=2, **SMALL)
        assert html.escape(judge(found)["snippet"], quote=False).replace("'", "&#39;") in report.render(found)

    def test_results_are_not_changed(self):
        found = sample_results.make(repeats=2, **SMALL)
        before = json.dumps(found)
        assert report.render(found) == report.render(found)
        assert json.dumps(found) == before


class TestSituations:
    @pytest.mark.parametrize("repeats", [1, 2])
    def test_few_repeats(self, repeats):
        assert "too few repeats to say" in Page(rendered(repeats=repeats)).text

    def test_partial(self):
        assert "This is a partial result" in Page(rendered(missing=[("focal", 1)])).text

    def test_an_arm_that_always_failed(self):
        page = Page(rendered(failed=[("focal", 0), ("focal", 1)]))
        assert "no finished pair" in page.text
        assert "no finished run" in page.text
        assert "ran out of time" in page.text

    def test_the_baseline_always_failed(self):
        assert "No verdict" in Page(rendered(failed=[("cross_entropy", 0), ("cross_entropy", 1)])).text

    def test_all_runs_failed(self):
        text = rendered(failed=[(arm[0], repeat) for arm in FEW for repeat in range(2)])
        page = Page(text)
        assert "No verdict: none of the 6 runs has finished." in page.text
        assert "Leaderboard" not in page.text
        assert data_of(text)["figures"] == {}

    def test_nothing_started(self):
        found = sample_results.make(repeats=2, **SMALL) | {"records": [], "status": "partial"}
        assert "No verdict" in Page(report.render(found)).text

    def test_two_classes(self):
        page = Page(rendered(**BINARY))
        assert "yes (positive class)" in page.text
        assert "for the rarer (positive) class" in page.text

    def test_twenty_classes(self):
        page = Page(
            rendered(classes=[f"class number {k}" for k in range(20)], counts=[100 * k + 30 for k in range(20)])
        )
        assert "class number 19" in page.text

    def test_many_classes_stay_readable_and_small(self):
        names = [f"class number {k} of a long family" for k in range(60)]
        text = rendered(arms=sample_results.ARMS, classes=names, counts=[40] * 60, repeats=1)
        page = Page(text)
        assert "most frequent mistakes" in page.text
        assert "60 class number 59 of a long family" in page.text
        assert len(text.encode()) < 6_000_000

    def test_between_few_and_many_classes_two_arms_have_matrices(self):
        page = Page(rendered(classes=[f"c{k}" for k in range(15)], counts=[60] * 15))
        assert "only the baseline and the recommended arm" in page.text
        assert page.text.count("true \\ decided") == 2

    def test_fifteen_arms(self):
        arms = [*sample_results.ARMS, *((f"own_{k}", f"my_losses.py:Own{k}", "none", {}) for k in range(6))]
        text = rendered(arms=arms)
        assert len(text.encode()) < 6_000_000
        assert "my_losses.py:Own5" in text

    def test_undefined_figures_are_dashes(self):
        found = sample_results.make(repeats=2, **SMALL)
        for record in found["records"]:
            record["ranking"] |= {"average_precision": None, "roc_auc": None}
            for rule in ("default", "tuned"):
                record["decision"][rule]["precision"] = [None] * 5
        assert "nan" not in Page(report.render(found)).text.lower()

    @pytest.mark.parametrize("metric", ["balanced_accuracy", "mcc", "accuracy"])
    def test_another_metric(self, metric):
        found = sample_results.make(repeats=2, **SMALL)
        found["settings"]["metric"] = metric
        assert "Deciding (every rule tuned): no test is possible; " in Page(report.render(found)).text

    def test_a_width_that_nobody_knows(self):
        found = sample_results.make(repeats=2, **SMALL)
        found["task"]["encoded_width"] = None
        assert "model inputs" not in report.render(found)


class TestParts:
    @staticmethod
    def ids(text):
        return set(re.findall(r'<h2 id="([a-z_-]+)"', text))

    def test_numbers_have_their_own_sections_and_none_of_classes(self):
        found = sample_results.regression(repeats=2)
        ids = self.ids(report.render(found))
        assert {"question-mae", "question-rmse", "points", "intervals", "slices", "learning", "times"} <= ids
        assert not ids & {"curves", "by-class", "confusion", "calibration", "weighting", "gradient", "tradeoff"}
        drawn = data_of(report.render(found))["figures"]
        assert {"points-0", "points-3", "coverage", "mae-values", "rmse-differences"} <= set(drawn)
        assert "threshold-0" not in drawn

    def test_records_of_an_older_version_lack_parts_and_the_page_is_whole(self):
        found = sample_results.make(repeats=2, **SMALL)
        for record in found["records"]:
            for part in ("curves", "gradient", "slices"):
                del record[part]
        assert not self.ids(report.render(found)) & {"curves", "thresholds", "gradient", "slices"}

    def test_thresholds_are_of_two_classes_alone(self):
        text = rendered(**BINARY)
        assert "thresholds" in self.ids(text)
        assert "threshold-0" in data_of(text)["figures"]
        assert "thresholds" not in self.ids(ordinary())


class TestClosed:
    def test_nothing_is_fetched_from_anywhere(self):
        page = Page(ordinary())
        for tag, attributes in page.tags:
            for name in ("src", "srcset", "action", "data", "poster"):
                assert name not in attributes, (tag, attributes)
            assert attributes.get("href", "#").startswith(("#", "data:,"))
            assert "url(" not in attributes.get("style", "")
        assert [a.get("type") for a in page.all("script")] == ["application/json", None, None]

    def test_the_policy_allows_our_two_scripts_and_nothing_else(self):
        policy = next(a["content"] for a in Page(ordinary()).all("meta") if "http-equiv" in a)
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert rules["form-action"] == rules["base-uri"] == "'none'"
        scripts = Page(ordinary()).scripts[1:]
        assert rules["script-src"].split() == [f"'{report.script_hash(script)}'" for script in scripts]
        assert "unsafe" not in rules["script-src"]
        assert set(rules) == {"default-src", "script-src", "style-src", "img-src", "form-action", "base-uri"}

    def test_plotly_shares_nothing(self):
        config = data_of(ordinary())["config"]
        assert config["showSendToCloud"] is False
        assert config["plotlyServerURL"] == ""
        assert config["displaylogo"] is False

    def test_our_own_script_reaches_for_nothing(self):
        script = (report.PAGE / "report.js").read_text(encoding="utf-8")
        assert not re.search(r"fetch|XMLHttp|import|http|innerHTML|eval|Function", script)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium to look at the page")
def test_a_browser_draws_every_figure_and_asks_nobody(tmp_path):
    """In a real browser: the policy lets our scripts run, hostile names run nothing, and no request leaves."""
    (tmp_path / "page.html").write_text(TestHostile.page(), encoding="utf-8")
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [
        *f"chromium {options} --disable-component-update --disable-sync --dump-dom --virtual-time-budget=8000".split(),
        f"--user-data-dir={tmp_path / 'profile'}",
        f"--log-net-log={tmp_path / 'net.json'}",
        "--proxy-server=127.0.0.1:9",
        (tmp_path / "page.html").as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    figures_drawn = re.findall(r'data-figure="[a-z0-9-]+"[^>]*class="[^"]*js-plotly-plot', done.stdout)
    assert len(figures_drawn) == len(data_of(TestHostile.page())["figures"])
    log = (tmp_path / "net.json").read_text(encoding="utf-8")
    hosts = set(re.findall(r'"url":"(?:https?|wss?)://([^/"]*)', log))
    own = (".google.com", ".googleapis.com")  # what the browser asks of its maker, with any page or none
    assert {host for host in hosts if not host.endswith(own)} == set()


class TestHostile:
    @staticmethod
    @cache
    def page():
        """Hostile text wherever a user's table or file can put some."""
        found = sample_results.make(classes=HOSTILE[:5], arms=FEW, repeats=2, test_rows=60, target=HOSTILE[0])
        found["task"]["classes"] = [*HOSTILE[:4], HOSTILE[6]]
        found["task"]["source"] = HOSTILE[1]
        found["task"]["features"] = [{"name": name, "kind": "numeric", "missing": 0} for name in HOSTILE]
        found["task"]["dropped"] = [{"name": name, "reason": name} for name in HOSTILE]
        found["arms"][1] |= {"title": HOSTILE[3], "about": HOSTILE[1], "spec": HOSTILE[2]}
        found["arms"][2]["title"] = HOSTILE[5]
        found["settings"][HOSTILE[0]] = HOSTILE[1]
        found["environment"]["platform"] = HOSTILE[1]
        found["records"].append(
            {"arm": "focal", "repeat": 2, "status": "failed", "reason": HOSTILE[1], "time": {"started": ""}}
        )
        return report.render(found)

    def test_no_tag_or_attribute_comes_from_a_name(self):
        page, calm = Page(self.page()), Page(ordinary())
        assert {tag for tag, _ in page.tags} <= {tag for tag, _ in calm.tags}
        known = {name for _, attributes in calm.tags for name in attributes}
        assert {name for _, attributes in page.tags for name in attributes} <= known
        assert len(page.all("script")) == 3
        assert all(a["href"].startswith(("#", "data:,")) for a in page.all("a"))

    def test_names_are_shown_as_they_are(self):
        text = Page(self.page()).text
        for name in (*HOSTILE[:3], "{{ 7 * 7 }} {% raw %}", "<b>bold</b> <a href='http://evil.example'>link</a>"):
            assert name in text

    def test_no_control_or_direction_character_is_left(self):
        text = self.page().replace(report.get_plotlyjs(), "")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)

    def test_embedded_data_cannot_leave_its_element(self):
        data = re.search(r'id="figure-data">(.*?)</script>', self.page(), re.DOTALL).group(1)
        assert not set(data) & set("<>&")
        assert json.loads(data)["figures"]

    def test_plotly_markup_is_literal(self):
        drawn = data_of(self.page())["figures"]
        ticks = drawn["classes"]["layout"]["yaxis"]["ticktext"]
        assert not any(re.search(r"<(?!br>)", tick) for tick in ticks)
        assert ticks[0].startswith("1 &lt;script&gt;")

        def strings(value):
            if isinstance(value, dict | list):
                for item in value.values() if isinstance(value, dict) else value:
                    yield from strings(item)
            elif isinstance(value, str):
                yield value

        assert not any(re.search(r"<(?!br>)", text) for text in strings(drawn))
        assert "hovertemplate" not in json.dumps(drawn)

    def test_lone_surrogates_can_be_written(self):
        found = sample_results.make(repeats=2, target="a\ud800b", **SMALL)
        assert "target <bdi>ab</bdi>" in report.render(found).encode("utf-8").decode()


class TestAccessible:
    def test_language_title_and_figures_in_words(self):
        page = Page(ordinary())
        assert page.all("html")[0]["lang"] == "en"
        assert "<title>Which loss for block?" in ordinary()
        for _, attributes in page.tags:
            if "data-figure" in attributes:
                assert attributes["role"] == "img"
                assert len(attributes["aria-label"]) > 20

    def test_every_header_cell_has_a_scope(self):
        assert all(a.get("scope") in ("col", "row", "colgroup") for a in Page(ordinary()).all("th"))

    def test_every_link_leads_somewhere(self):
        page = Page(ordinary())
        ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert {a["href"][1:] for a in page.all("a")} <= set(ids)
        assert {a["aria-labelledby"] for a in page.all("section")} <= set(ids)

    def test_wide_tables_scroll_alone(self):
        page = Page(ordinary())
        scrolling = [a for a in page.all("div") if "scroll" in a.get("class", "").split()]
        assert len(scrolling) == len(page.all("table"))
        assert all(a["tabindex"] == "0" and a["aria-label"] for a in scrolling)


class TestFigures:
    def test_labels_of_equal_names_stay_apart(self):
        axis = figures.rows_axis(["same", "same"])
        assert axis["tickvals"] == [0, 1]

    def test_one_colour_per_arm_and_never_that_of_cross_entropy(self):
        arms = [*sample_results.ARMS, *((f"own_{k}", f"own {k}", "none", {}) for k in range(6))]
        runs = Runs(sample_results.make(arms=arms, repeats=1, test_rows=40))
        style = figures.Style(runs)
        looks = [(style.colours[a["name"]], style.symbols.get(a["name"])) for a in runs.arms]
        assert len(set(looks)) == len(arms)

    def test_curves_end_where_fewer_than_half_the_repeats_are_left(self):
        found = sample_results.make(repeats=3, **SMALL)
        for record, length in zip([r for r in found["records"] if r["arm"] == "focal"], (2, 4, 9), strict=True):
            record["curve"] = {"loss": [1.0] * length, "validation": [0.5] * length}
        middle, sd = panels.curve(Runs(found), "focal", "loss")
        assert len(middle) == len(sd) == 4

    def test_bins_are_pooled_by_rows(self):
        same = (
            {"confidence": 0.9, "accuracy": 1.0, "count": 30},
            {"confidence": 0.8, "accuracy": 0.0, "count": 10},
            {"confidence": None, "accuracy": None, "count": 0},
        )
        assert panels.pooled(same) == pytest.approx((0.875, 0.75, 40))

    def test_an_arm_far_off_is_noted_at_the_edge(self):
        question = judge(sample_results.make(repeats=6, arms=sample_results.ARMS))["questions"][0]
        question["comparisons"][2] |= {"mean": -0.9, "low": -0.91, "high": -0.89}
        style = figures.Style(Runs(sample_results.make(repeats=1)))
        drawn = figures.forest(style, question)["layout"]
        assert [note["text"] for note in drawn["annotations"]] == ["◀ -0.900"]
        low, high = drawn["xaxis"]["range"]
        assert -0.5 < low < 0 < high

    def test_dollars_are_not_mathematics(self):
        assert "$" not in figures.plain("$x$")

    def test_sure_differences_are_filled(self):
        runs = Runs(sample_results.make(repeats=6, arms=FEW, gains={"focal": -2.5}))
        question = judge(sample_results.make(repeats=6, arms=FEW, gains={"focal": -2.5}))["questions"][0]
        drawn = figures.forest(figures.Style(runs), question)
        means = [trace["marker"]["color"] for trace in drawn["data"] if "hovertext" in trace]
        filled = {c["arm"]: colour != "#ffffff" for c, colour in zip(question["comparisons"], means, strict=True)}
        assert filled == {c["arm"]: c["p_holm"] < 0.05 for c in question["comparisons"]}
        assert filled["focal"]
