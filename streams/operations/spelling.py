"""When two spellings are one word: Unicode has several forms, models change case and blanks."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence


def folded(text: str) -> str:
    """Equal for texts that differ in Unicode form, case and outer blanks alone."""
    return composed(composed(text).strip().casefold())  # a fold may decompose


def composed(text: str) -> str:
    """The text in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text)


def by_form(form: Callable[[str], str], words: Sequence[str]) -> dict[str, str]:
    """The words by their form; without those that share one."""
    forms = Counter(map(form, words))
    return {form(word): word for word in words if forms[form(word)] == 1}


def respelled_word(text: str, words: Sequence[str]) -> str:
    """The word that the text spells; the text itself if there is none, or more than one."""
    if text in words:
        return text
    for form in (composed, folded):
        if (word := by_form(form, words).get(form(text))) is not None:
            return word
    return text
