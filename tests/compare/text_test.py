"""Prose as numbers: scikit-learn's term weights from training texts alone, and sentence models that lie in a folder."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from lossmith.compare.data import text
from lossmith.compare.data.text import TextEncoder, embedded, is_text
from lossmith.errors import InputError, MissingError

WORDS = [
    "late",
    "train",
    "bus",
    "seat",
    "window",
    "rain",
    "north",
    "market",
    "paper",
    "green",
    "river",
    "small",
    "cold",
    "quick",
    "letter",
]


def prose(rows, seed=0, words=tuple(WORDS)):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(words, generator.integers(4, 12))) for _ in range(rows)]


def test_weights_worked_out_by_hand():
    """Four texts; "late" is in all, "bus" in two, the pair "late bus" in two; idf = 1 + ln(5 / (1 + df))."""
    fitted = TextEncoder().fit(["late bus", "late bus now", "late", "late late"])
    assert fitted.terms == ["bus", "late", "late bus"]
    assert fitted.idf == pytest.approx([1 + math.log(5 / 3), 1.0, 1 + math.log(5 / 3)])
    raw = np.array([0.0, 1 + math.log(2), 0.0]), np.array([1 + math.log(5 / 3), 1.0, 0.0])
    expected = [row / np.linalg.norm(row) for row in raw]
    assert fitted.transform(["LATE ... late!", "bus, and then late"]) == pytest.approx(np.array(expected))


def test_numbers_are_those_of_scikit_learn():
    train, new = prose(200), prose(50, seed=1, words=(*WORDS, "unheard", "of"))
    oracle = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=2000, min_df=2).fit(train)
    fitted = TextEncoder().fit(train)
    found = fitted.transform(new)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle.transform(new).toarray(), rtol=1e-6, atol=1e-7)
    assert fitted.terms == sorted(oracle.vocabulary_)


def test_at_most_two_thousand_terms_of_which_two_texts_know():
    generator = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in generator.integers(0, 300, 30)) for _ in range(900)]
    fitted = TextEncoder().fit(texts)
    assert fitted.transform(texts[:3]).shape == (3, 2000)
    held = [sum(f" {term} " in f" {one} " for one in texts) for term in fitted.terms[::100]]
    assert min(held) >= 2


def test_a_state_read_from_json_gives_the_same_bits():
    fitted, new = TextEncoder().fit(prose(100)), prose(30, seed=2)
    again = TextEncoder.of(json.loads(json.dumps(fitted.state(), allow_nan=False)))
    assert np.array_equal(again.transform(new), fitted.transform(new))
    assert again.state() == fitted.state()


def test_missing_and_empty_texts_are_rows_of_zeros():
    fitted = TextEncoder().fit([*prose(20), None, float("nan")])
    assert not fitted.transform([None, "", float("nan"), "!?"]).any()
    assert fitted.transform([]).shape == (0, len(fitted.terms))


@pytest.mark.parametrize("texts", [[], [""], [None, None], ["once only"], ["one thing", "another matter"]])
def test_texts_without_a_common_term_have_no_columns(texts):
    fitted = TextEncoder().fit(texts)
    assert fitted.transform(["one thing", None]).shape == (2, 0)
    assert TextEncoder.of(fitted.state()).transform(["one"]).shape == (1, 0)


def test_words_of_test_texts_leave_no_trace_in_the_state():
    train, test = prose(50), ["xylomarker late train"] * 5
    fitted = TextEncoder().fit(train)
    before = json.dumps(fitted.state())
    fitted.transform(test)
    assert json.dumps(fitted.state()) == before
    assert "xylomarker" not in before
    assert "xylomarker" in json.dumps(TextEncoder().fit(train + test).state())


MANY = range(40)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (prose(40), True),
        ([*prose(30), *[None] * 10], True),
        ([f"Frau Müller ging {k} Mal über die Straße" for k in MANY], True),
        (["the train was late again today"] * 40, False),  # a category with a long name
        (prose(4) * 10, False),
        ([f"{k:08x}-e29b-41d4-a716-446655440000" for k in MANY], False),
        ([f"AB-{k} CD-{k} EF-{k}" for k in MANY], False),
        ([f"2026-11-{k % 28 + 1:02d} 10:00:{k:02d}" for k in MANY], False),
        ([f"Sunday, {k % 28 + 1}th of November {2000 + k} at 10:33 AM UTC" for k in MANY], False),
        ([f"{k} 2 3 4 5 6" for k in MANY], False),
        ([f"first{k} last{k}" for k in MANY], False),
        ([f"snake_case_words_are_a_code_{k}" for k in MANY], False),
        (["on time", "late"] * 20, False),
        (list(range(40)), False),
        ([*prose(39), 7], False),
        ([None] * 5, False),
        ([], False),
    ],
)
def test_prose_is_told_from_categories_ids_codes_and_dates(cells, expected):
    assert is_text(pd.Series(cells, dtype="object")) is expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT of random weights and fifteen words."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    place = tmp_path_factory.mktemp("sentence-model")
    (place / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(place)
    BertTokenizerFast(str(place / "vocab.txt")).save_pretrained(place)
    return place


def test_embeddings_are_the_normalised_means_of_the_tokens_states(folder):
    """One text at a time there is nothing to pad, so the plain mean of the states is the oracle."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    texts = [one[:30] for one in prose(70, seed=3)]
    found = embedded(texts, folder)
    assert found.shape == (70, 16)
    assert found.dtype == np.float32
    for text_, row in zip(texts, found, strict=True):
        with torch.no_grad():
            mean = model(**tokenizer(text_, return_tensors="pt")).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, (mean / mean.norm()).numpy(), atol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) > 50


def test_the_same_text_is_the_same_vector_in_every_batch(folder):
    texts = ["late train", *prose(40), None, "late train"]
    found = embedded(texts, str(folder))
    np.testing.assert_allclose(found[0], found[-1], atol=1e-6)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(found[-2], embedded([""], folder)[0], atol=1e-6)
    assert embedded([], folder).shape == (0, 16)


def test_a_text_longer_than_the_model_is_cut(folder):
    beyond = " ".join(["late"] * 50)
    np.testing.assert_allclose(embedded([beyond], folder), embedded([beyond + " river"], folder), atol=1e-6)


@pytest.mark.parametrize("there", [None, "empty", "config", "pickle", "broken"])
def test_a_folder_without_a_model_is_one_sentence(tmp_path, folder, there):
    place = tmp_path / "model"
    if there:
        place.mkdir()
    if there in ("config", "pickle", "broken"):
        (place / "config.json").write_text((folder / "config.json").read_text())
    if there == "pickle":
        torch.save({}, place / "pytorch_model.bin")
    if there == "broken":
        (place / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    with pytest.raises(
        InputError, match="not a folder" if there is None else "holds no model|cannot be read"
    ) as caught:
        embedded(["late"], place)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_without_transformers_the_extra_is_named(folder, monkeypatch):
    def missing(module, name):
        raise MissingError(f'{module} is not installed: pip install "lossmith[{name}]"')

    monkeypatch.setattr(text, "extra", missing)
    with pytest.raises(MissingError, match=r'transformers is not installed: pip install "lossmith\[text\]"'):
        embedded(["late"], folder)
