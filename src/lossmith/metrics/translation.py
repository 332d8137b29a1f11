"""Figures of texts against reference texts: sacrebleu computes, and its signature says how."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from lossmith.errors import DomainError, DtypeError, InputError, ParameterError, ShapeError
from lossmith.metrics.labels import same_length
from lossmith.text import as_clause, quote, suggestion

TOKENIZERS = ("13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none")
"""sacrebleu's tokenizers that work offline; its others download a model."""

References = Sequence[str] | Sequence[Sequence[str]]


class TextScore(NamedTuple):
    """A score of a whole corpus, sacrebleu's signature of it, and the counts behind it."""

    score: float | None
    signature: str
    statistics: dict[str, Any]


def bleu(
    hypotheses: Sequence[str], references: References, *, tokenize: str = "13a", lowercase: bool = False
) -> TextScore:
    """BLEU of a corpus, 0 to 100: how many of the word sequences up to length 4 are in the references.

    ``references[i]`` is the reference of ``hypotheses[i]``, or a list of several. Tokenizers: 13a for languages that
    write spaces, zh for Chinese, ja-mecab and ko-mecab (further packages), intl, char, none for tokenized text.
    Where no hypothesis has four tokens there is no sequence to count, and the score is None; sacrebleu says 0.

    Source: Papineni et al. (2002); Post (2018), arXiv:1804.08771; sacrebleu's defaults (exponential smoothing).

    >>> bleu(["我有一个帽衫", "大大的帽子"], ["你好,我有一个帽衫", "帽子大大的"], tokenize="zh").score
    59.80998912615...
    >>> bleu(["the cat sat on the mat"], ["the cat is on the mat"]).signature
    'nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:...'
    """
    if tokenize not in TOKENIZERS:
        hint = suggestion(tokenize, TOKENIZERS) or f"; they are {', '.join(TOKENIZERS)}."
        offline = " (spm and flores download a model, and nothing is downloaded here)"
        raise ParameterError(f"metrics: {quote(tokenize)} is no tokenizer{offline}{hint}")
    try:
        metric = _sacrebleu().BLEU(tokenize=tokenize, lowercase=lowercase)
    except RuntimeError as error:  # the tokenizer's own packages
        raise InputError(f"metrics: tokenizer {quote(tokenize)}: {as_clause(' '.join(str(error).split()))}.") from error
    found = metric.corpus_score(*_streams(hypotheses, references))
    pairs = zip(found.precisions, found.totals, strict=True)
    statistics = {
        "precisions": [value if total else None for value, total in pairs],
        "brevity_penalty": found.bp,
        "hypothesis_length": found.sys_len,
        "reference_length": found.ref_len,
    }
    undefined = found.sys_len > 0 and not found.totals[-1]
    return TextScore(None if undefined else float(found.score), metric.get_signature().format(), statistics)


def chrf(
    hypotheses: Sequence[str], references: References, *, word_order: int = 0, lowercase: bool = False
) -> TextScore:
    """chrF of a corpus, 0 to 100: F2 of the character sequences up to length 6; ``word_order=2`` is chrF++.

    Source: Popović (2015), "chrF: character n-gram F-score for automatic MT evaluation".

    >>> chrf(["a cat"], ["a cat"]).score
    100.0
    >>> chrf(["kitten"], ["dog"]).score
    0.0
    """
    if word_order < 0:
        raise ParameterError(f"metrics: word_order must be at least 0, not {word_order}.")
    metric = _sacrebleu().CHRF(word_order=word_order, lowercase=lowercase)
    found = metric.corpus_score(*_streams(hypotheses, references))
    return TextScore(float(found.score), metric.get_signature().format(), {})


def ter(
    hypotheses: Sequence[str],
    references: References,
    *,
    normalized: bool = False,
    asian_support: bool = False,
    case_sensitive: bool = False,
) -> TextScore:
    """Translation edit rate, 0 and up, less is better: edits and shifts of words, for 100 words of the reference.

    ``normalized=True, asian_support=True`` makes every Chinese or Japanese character a word.

    Source: Snover et al. (2006), "A study of translation edit rate with targeted human annotation".

    >>> ter(["the cat sat"], ["the cat sat down"]).score   # one insertion, four words
    25.0
    """
    metric = _sacrebleu().TER(normalized=normalized, asian_support=asian_support, case_sensitive=case_sensitive)
    found = metric.corpus_score(*_streams(hypotheses, references))
    statistics = {"edits": float(found.num_edits), "reference_length": float(found.ref_length)}
    return TextScore(float(found.score), metric.get_signature().format(), statistics)


def _sacrebleu() -> Any:
    """sacrebleu's metrics; it is an extra of its own."""
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError as error:
        said = 'metrics: BLEU, chrF and TER need sacrebleu: pip install "lossmith[translation]"'
        raise InputError(said) from error
    return metrics


def _streams(hypotheses: Sequence[str], references: References) -> tuple[list[str], list[list[str | None]]]:
    """The texts as sacrebleu wants them: its references run by stream first, and then by row."""
    if isinstance(hypotheses, str) or isinstance(references, str):
        raise DtypeError("metrics: hypotheses and references must be lists of texts, not one text; put it in a list.")
    several: list[list[Any]] = [
        [one] if isinstance(one, str) or not hasattr(one, "__iter__") else list(one) for one in references
    ]
    same_length(hypotheses=hypotheses, references=several)
    if not len(hypotheses):
        raise ShapeError("metrics: hypotheses is empty; give at least one text.")
    if not all(isinstance(text, str) for texts in (hypotheses, *several) for text in texts):
        raise DtypeError("metrics: hypotheses and references must be texts; some are not.")
    empty = sum(not any(text.strip() for text in texts) for texts in several)
    if empty:
        raise DomainError(
            f"metrics: every hypothesis needs a reference; {empty} of {len(several)} have none with text."
        )
    most = max(len(texts) for texts in several)
    return list(hypotheses), [[texts[i] if i < len(texts) else None for texts in several] for i in range(most)]
