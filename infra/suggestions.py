"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches


def known(word: str, words: Collection[str]) -> str:
    """Say what may be written instead, as in "known: cpu, gpu; did you mean gpu?"."""
    hint = guess(word, words)
    return f"known: {', '.join(words)}" + (f"; {hint}" if hint else "")


def guess(word: str, words: Iterable[str], *, likeness: float = 0.6) -> str:
    """Say "did you mean gpu?", or nothing when no known word is near."""
    near = get_close_matches(word.lower().replace("-", "_"), list(words), n=1, cutoff=likeness)
    return f"did you mean {near[0]}?" if near else ""
