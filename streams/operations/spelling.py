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


class Words:
    """Words that a model spells in its own way."""

    def __init__(self, words: Sequence[str]) -> None:
        self._exact = {word: word for word in words}
        self._forms = [(form, _by_form(form, words)) for form in (composed, folded)]

    def find(self, text: str) -> str | None:
        """The word that the text spells; None if there is none, or more than one."""
        if (word := self._exact.get(text)) is not None:
            return word
        for form, words in self._forms:
            if (word := words.get(form(text))) is not None:
                return word
        return None


def _by_form(form: Callable[[str], str], words: Sequence[str]) -> dict[str, str]:
    """The words by their form; without those that share one."""
    forms = Counter(map(form, words))
    return {form(word): word for word in words if forms[form(word)] == 1}
