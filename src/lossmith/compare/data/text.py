"""Columns of prose as numbers: counted words, learnt from training rows alone, or a sentence model from a folder."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lossmith.errors import InputError
from lossmith.extras import extra
from lossmith.text import as_clause, quote

MOST_TERMS = 2000
FEWEST_TEXTS_OF_A_TERM = 2
FEWEST_WORDS = 4.0  # on average, of prose
MOSTLY = 0.5  # the least share of different cells among those of prose
LOOKED_AT = 2000  # cells, evenly spread, from which a column is judged
WORD = re.compile(r"[^\W\d_]{2,}")
OF_A_DATE = re.compile(
    r"(?i)((mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?|jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?"
    r"|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?|am|pm|utc|gmt|at|of|the|st|nd|rd|th)"
)
BATCH = 32

Floats = NDArray[np.float32]


class TextEncoder:
    """Term weights (1 + log count) * idf of words and pairs of words, each text scaled to length 1.

    idf = 1 + log((1 + texts) / (1 + texts with the term)); at most 2,000 terms, the most frequent that two training
    texts have. A missing text is the empty one, whose numbers are all 0. By scikit-learn's `TfidfVectorizer`.

    >>> encoder = TextEncoder().fit(["late train", "late bus", None])
    >>> encoder.terms, encoder.transform(["a late train", ""]).tolist()
    (['late'], [[1.0], [0.0]])
    """

    def __init__(self) -> None:
        self.terms: list[str] = []
        self.idf: list[float] = []

    def fit(self, texts: Sequence[str | None]) -> Self:
        """Learn the terms from these texts; where no term is in two of them there are none, and no columns."""
        counted = vectorizer(max_features=MOST_TERMS, min_df=FEWEST_TEXTS_OF_A_TERM)
        try:
            counted.fit(filled(texts))
        except ValueError:  # scikit-learn has no empty vocabulary
            self.terms, self.idf = [], []
            return self
        self.terms, self.idf = counted.get_feature_names_out().tolist(), counted.idf_.tolist()
        return self

    def transform(self, texts: Sequence[str | None]) -> Floats:
        """float32 [texts, terms]."""
        if not self.terms or not len(texts):
            return np.zeros((len(texts), len(self.terms)), np.float32)
        counted = vectorizer(vocabulary=self.terms)
        counted.idf_ = np.array(self.idf)
        found: Floats = counted.transform(filled(texts)).astype(np.float32).toarray()
        return found

    def state(self) -> dict[str, Any]:
        """All that was learnt, as JSON can hold it."""
        return {"terms": self.terms, "idf": self.idf}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The encoder that had this state; it gives the same numbers."""
        encoder = cls()
        encoder.terms, encoder.idf = list(state["terms"]), list(state["idf"])
        return encoder


def vectorizer(**options: Any) -> Any:
    """The counting that fitting and using share."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # a second of import, for tables with prose alone

    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float64, **options)


def filled(texts: Sequence[str | None]) -> list[str]:
    """The texts, the empty one where there is none."""
    return [text if isinstance(text, str) else "" for text in texts]


def is_text(column: pd.Series) -> bool:
    """Whether a column holds prose: cells of four words or more on average, most of them different.

    Dates, numbers, codes and ids such as UUIDs are made of few words; categories repeat. A word is two letters or more.

    >>> is_text(pd.Series(["the train was late again", "a seat by the window, please"]))
    True
    >>> is_text(pd.Series(["late", "on time"])), is_text(pd.Series(["2026-11-22 10:00:00", "AB-12-CD-34-EF-56"]))
    (False, False)
    """
    present = column.dropna()
    cells = present.iloc[:: max(1, len(present) // LOOKED_AT)].tolist()
    if not cells or not all(isinstance(cell, str) for cell in cells):
        return False
    words = [WORD.findall(cell) if " " in cell.strip() else [] for cell in cells]
    dated = np.mean([not all(OF_A_DATE.fullmatch(word) for word in found) for found in words]) <= MOSTLY
    many = float(np.mean([len(found) for found in words])) >= FEWEST_WORDS
    return many and not dated and len(set(cells)) > MOSTLY * len(cells)


def embedded(texts: Sequence[str | None], folder: str | Path) -> Floats:
    """Each text as a vector of length 1: the mean of its tokens' last states, by a model in a local folder.

    float32 [texts, width]; a text of no token is all 0. The folder is one that `save_pretrained` wrote (config.json,
    model.safetensors, the tokenizer's files); nothing is downloaded, and no code of the folder is run. Mean pooling:
    Reimers and Gurevych, "Sentence-BERT" (arXiv:1908.10084), section 3.

    Raises `InputError` where the folder has no such model, `MissingError` without `lossmith[text]`.
    """
    tokenizer, model = sentence_model(Path(folder))
    import torch

    found = [np.zeros((0, model.config.hidden_size), np.float32)]
    known = filled(texts)
    for first in range(0, len(known), BATCH):
        tokens = tokenizer(known[first : first + BATCH], padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            states = model(**tokens).last_hidden_state
            mask = tokens["attention_mask"][:, :, None].to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1.0)
            found.append(torch.nn.functional.normalize(mean, dim=1).float().numpy())
    return np.concatenate(found)


def sentence_model(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder, ready to be used."""
    if not folder.is_dir():
        raise InputError(f"{quote(folder)} is not a folder; give the folder of a sentence model.")
    if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
        raise InputError(
            f"{quote(folder)} holds no model: a config.json and a *.safetensors file are expected, as save_pretrained "
            "of transformers writes them."
        )
    transformers = extra("transformers", "text")
    known = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **known)
        model = transformers.AutoModel.from_pretrained(str(folder), use_safetensors=True, **known)
    except Exception as error:
        raise InputError(f"the model in {quote(folder)} cannot be read: {as_clause(error)}.") from error
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest:
        tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    return tokenizer, model.eval()
