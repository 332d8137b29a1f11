"""The figures of texts against reference texts."""

from typing import Any

import pandas as pd

from lossmith import metrics
from lossmith.evaluation.asked import Asked
from lossmith.evaluation.columns import refuse, refuse_missing, texts_of

WITHOUT_SPACES = ("zh", "ja-mecab")


def translation(frame: pd.DataFrame, asked: Asked) -> dict[str, Any]:
    """BLEU, chrF and TER with sacrebleu's signatures; for Chinese and Japanese, TER counts characters as words."""
    refuse_missing(frame[asked.target])
    references, hypotheses = texts_of(frame[asked.target]), texts_of(frame[asked.prediction])
    refuse(asked.target, pd.Series(references).str.strip() == "", "holds only spaces", "give every row a reference")
    tokenize = asked.tokenize or "13a"
    by_character = tokenize in WITHOUT_SPACES
    scores = {
        "bleu": metrics.bleu(hypotheses, references, tokenize=tokenize),
        "chrf": metrics.chrf(hypotheses, references),
        "ter": metrics.ter(hypotheses, references, normalized=by_character, asian_support=by_character),
    }
    undefined = {}
    if scores["bleu"].score is None:
        undefined["bleu"] = f"no prediction has four tokens (tokenizer {tokenize}), so there is no 4-gram to count"
    empty = sum(not text.strip() for text in hypotheses)
    notes = [f"{empty} of {len(hypotheses)} predictions are empty and count as empty texts."] if empty else []
    if asked.tokenize is None and without_spaces(references):
        notes.append("The references hold Chinese or Japanese; BLEU needs --tokenize zh or ja-mecab there.")
    return {
        "tokenize": tokenize,
        "figures": {name: score.score for name, score in scores.items()},
        "undefined": undefined,
        "signatures": {name: score.signature for name, score in scores.items()},
        "statistics": {name: score.statistics for name, score in scores.items()},
        "notes": notes,
    }


def without_spaces(texts: list[str]) -> bool:
    """True where a fifth of the characters are Chinese or Japanese.

    >>> without_spaces(["你好 world"]), without_spaces(["a cat"])
    (True, False)
    """
    letters = "".join(texts[:1000])
    asian = sum("\u3040" <= letter <= "\u30ff" or "\u4e00" <= letter <= "\u9fff" for letter in letters)
    return asian > len(letters) / 5
