"""One form for every seed, so that equal seeds are equal strings."""

import re
import unicodedata

_SPACE = re.compile(r"\s+")


def normalise(text: str) -> str:
    """Unicode NFC, no control or format characters, single spaces. Idempotent."""
    text = _SPACE.sub(" ", text)
    if not text.isascii() or not text.isprintable():
        text = unicodedata.normalize("NFC", text)
        text = "".join(
            character for character in text if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
        )
        # Taking a character away can leave two spaces, or two characters that compose.
        text = unicodedata.normalize("NFC", _SPACE.sub(" ", text))
    return text.strip()
