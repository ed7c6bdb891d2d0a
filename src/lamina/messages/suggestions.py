"""Suggest known words that are spelled nearly like one that a user wrote."""

from __future__ import annotations

from collections.abc import Iterable

_MAX_LENGTH = 60
_MAX_SUGGESTIONS = 2
_MIN_RATIO = 0.7
# One wrong letter of three.
_MIN_SHORT_RATIO = 0.65
_SHORT_LENGTH = 3
# A second suggestion is worth reading only if it is about as near as the first.
_MAX_DISTANCE = 0.1
# The beginning of a known word, such as ``--out`` of ``--output``, counts as this near at least.
_MIN_PREFIX_LENGTH = 3
_PREFIX_RATIO = 0.95


def find_similar(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return the words of ``known`` that ``word`` is probably meant to be, nearest first, at most two.

    Capitals, dashes and underscores make no difference, so ``max-layer`` is near to ``maxLayers``.
    """
    plain = _normalize(word[:_MAX_LENGTH])
    ratios = sorted(((_compare(plain, _normalize(item)), item) for item in known), key=lambda pair: (-pair[0], pair[1]))
    least = _MIN_SHORT_RATIO if len(plain) == _SHORT_LENGTH else _MIN_RATIO
    near = [(ratio, item) for ratio, item in ratios if ratio >= max(least, ratios[0][0] - _MAX_DISTANCE)]
    return tuple(item for _, item in near[:_MAX_SUGGESTIONS])


def format_suggestion(word: str, known: Iterable[str]) -> str:
    """Return the hint ``did you mean X or Y?``, or an empty text if no word of ``known`` is near to ``word``."""
    similar = find_similar(word, known)
    return f"did you mean {' or '.join(similar)}?" if similar else ""


def _normalize(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


def _compare(word: str, known: str) -> float:
    """Return how similar two words are, from 0 to 1."""
    import difflib  # most runs suggest nothing

    ratio = difflib.SequenceMatcher(None, word, known, autojunk=False).ratio()
    is_prefix = len(word) >= _MIN_PREFIX_LENGTH and known.startswith(word)
    return max(ratio, _PREFIX_RATIO) if is_prefix and ratio < 1 else ratio
