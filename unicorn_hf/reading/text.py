"""Decodes text files: detects the encoding, decodes without loss, and reports errors with line and column.

Reads UTF-8, and UTF-16 and UTF-32 if a byte-order mark or zero bytes reveal them. Any other encoding is an error,
because it can only be guessed. The advice contains the guess.
"""

import codecs
import io
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from unicorn_hf.core.errors import InputError

MAX_CHARS = 4 << 20
"""Maximum length of a line or JSON item."""
TOO_LONG = "Remove what is not text, e.g. pictures in Base64."
_HEAD_BYTES = 1 << 16
_BOM = "\ufeff"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MANY_ZEROS = 0.2
_UNICODE = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
_WINDOWS = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "cp932", "cp949")
_GUESSED = (*_WINDOWS, "koi8_r", "euc_jp", "gb18030", "big5", "mac_roman")
"""Encodings to guess."""
_ICONV = {"cp932": "SHIFT_JIS", "mac_roman": "MACINTOSH"}
"""Their names in iconv, where these are not Python's names in capitals, with hyphens."""
_FEW_BYTES = 5
"""With fewer high bytes, European encodings cannot be distinguished, and the most common one is taken."""
_ALPHABETS = re.compile("[가-힣а-яёα-ωά-ώא-ת]")
_NATIVE = 0.8
_JAPANESE = ("cp932", "euc_jp")
_LINES_TO_GUESS = 200
_SHOWN_CHARS = 60


def encoding_of(head: bytes) -> str:
    """The Unicode codec of a file that begins with these bytes."""
    if codec := next((codec for mark, codec in _BOMS if head.startswith(mark)), None):
        return codec
    zeros = head.count(0)
    if zeros and (zeros > _MANY_ZEROS * len(head) or _decoded(head, "utf-8") is None):
        ends = {codec: _num_ends(head, codec) for codec in _UNICODE}
        best = max(ends, key=lambda codec: ends[codec])
        if ends[best] > min(ends.values()):
            return best
    return "utf-8"


def _decoded(raw: bytes, codec: str) -> str | None:
    """The text of bytes that may end within a character; None if they are not in this encoding."""
    try:
        return codecs.getincrementaldecoder(codec)().decode(raw)
    except UnicodeDecodeError:
        return None


def _ends_in_character(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def _num_ends(head: bytes, codec: str) -> int:
    """The number of word and line ends, if the bytes are text in this encoding; else 0."""
    text = _decoded(head, codec) or ""
    is_plain = not any(char < " " and char not in "\t\r\n" for char in text)
    return sum(map(text.count, " \n,;.。，、")) if is_plain else 0


class Text:
    """The strictly decoded text of a seekable stream: numbered lines, or pieces."""

    def __init__(self, stream: IO[bytes], name: str, path: Path) -> None:
        """Raise an `InputError`, which calls the file `name`, if it is no text; advised commands name `path`."""
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
        self.name = name
        self._path = path
        self._codec = encoding_of(head)
        if self._is_utf8 and head.count(0) > _MANY_ZEROS * len(head):
            raise InputError(f"{name}: it is not text: many of its bytes are zero", "Save it as UTF-8 text.")
        self._errors = "surrogateescape" if self._is_utf8 else "surrogatepass"
        self._text = io.TextIOWrapper(stream, self._codec, errors=self._errors, newline="")
        self._line, self._column = 1, 0
        self._has_wide = False

    @property
    def encoding(self) -> str:
        """The display name: `UTF-16`."""
        return "UTF-8" if self._is_utf8 else self._codec.upper()

    @property
    def _is_utf8(self) -> bool:
        return self._codec in ("utf-8", "utf-8-sig")

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their ends, numbered from 1.

        Raises:
            InputError: a line is too long, or not in the file's encoding.
        """
        while line := self._decoded(self._text.readline, MAX_CHARS):
            if len(line) == MAX_CHARS:
                raise InputError(f"{self.name}, line {self._line}: longer than {MAX_CHARS:,} characters", TOO_LONG)
            self._check(line)
            # Files that were joined contain each other's byte-order mark.
            yield self._line, line if line.isascii() else line.removeprefix(_BOM)
            self._line += 1

    def read(self, num_chars: int) -> str:
        """The next piece; empty at the end.

        Raises:
            InputError: it is not in the file's encoding.
        """
        piece = self._decoded(self._text.read, num_chars)
        self._check(piece)
        self._line += piece.count("\n")
        self._column = len(piece) - 1 - piece.rfind("\n") if "\n" in piece else self._column + len(piece)
        return piece

    def _decoded(self, read: Callable[[int], str], number: int) -> str:
        try:
            return read(number)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.name}, from line {self._line} on: not {self.encoding}: {error.reason}",
                "The file is truncated or damaged there. Save it again as UTF-8.",
            ) from error

    def _check(self, piece: str) -> None:
        if piece.isascii():
            return
        try:
            piece.encode()
        except UnicodeEncodeError as error:
            raise self._refused(piece, error.start) from None
        self._has_wide = True

    def _refused(self, piece: str, at: int) -> InputError:
        before = piece[:at]
        line = self._line + before.count("\n")
        column = at - before.rfind("\n") if "\n" in before else self._column + at + 1
        place = f"{self.name}, line {line}"
        if not self._is_utf8:
            return InputError(
                f"{place}: not {self.encoding} (half a character in column {column})",
                "The file is damaged there. Save it again as UTF-8.",
            )
        wrong, line_end, _ = piece[before.rfind("\n") + 1 :].partition("\n")
        raw = wrong.encode("utf-8", self._errors)
        # A Latin-1 letter at the end looks the same, but not after UTF-8.
        is_cut = self._has_wide and not line_end and _ends_in_character(raw) and not self._text.read(1)
        return InputError(
            f"{place}: not UTF-8 (byte 0x{ord(piece[at]) - 0xDC00:02x} in column {column})",
            "The file is truncated within a character. Get or save it again." if is_cut else self._advice(raw),
        )

    def _advice(self, raw: bytes) -> str:
        wrong = [raw, *self._wrong_lines()]
        found = guessed_encoding(b"\n".join(wrong))
        if found is None:
            return "Save the file as UTF-8."
        shown = " ".join(raw.decode(found, "replace").split())[:_SHOWN_CHARS]
        name = _ICONV.get(found, found.upper().replace("_", "-"))
        reads = f"In {name} the line reads {shown!r}"
        if self._has_wide:
            return f"Correct this line: the lines before it are UTF-8. {reads}."
        new = shlex.quote(f"{self._path.stem}-utf8{self._path.suffix}")
        return f"{reads}. If correct, run: iconv -f {name} -t UTF-8 {shlex.quote(self._path.name)} > {new}"

    def _wrong_lines(self) -> Iterator[bytes]:
        """The following lines that are not UTF-8 either."""
        for _ in range(_LINES_TO_GUESS):
            line = self._text.readline(_HEAD_BYTES)
            if any("\udc80" <= char <= "\udcff" for char in line):
                yield line.rstrip("\r\n").encode("utf-8", self._errors)


def guessed_encoding(raw: bytes) -> str | None:
    """The most likely of the codecs `_GUESSED` for lines that are not UTF-8; None if none fits."""
    from charset_normalizer import from_bytes

    num_high = sum(byte > 0x7F for byte in raw)
    western = _decoded(raw, "cp1252")
    if num_high < _FEW_BYTES and western is not None:
        return "cp1252"
    found = {match.encoding: match for match in from_bytes(raw, cp_isolation=list(_GUESSED))}
    japanese = [codec for codec in _JAPANESE if any("ぁ" <= char <= "ん" for char in str(found.get(codec, "")))]
    best = max(japanese or found, key=lambda codec: _native_share(str(found[codec])) >= _NATIVE, default=None)
    # The same bytes are Western and Central European letters; only known words decide.
    if best == "cp1250" and western is not None:
        match = found.get("cp1252", found[best] if western == str(found[best]) else None)
        return "cp1252" if match and match.coherence >= found[best].coherence else best
    return best if best in _GUESSED else None


def _native_share(text: str) -> float:
    """Share of lower-case letters of one alphabet among the non-English letters: wrong guesses mix alphabets."""
    letters = [char for char in text if not char.isascii() and char.isalpha()]
    return sum(_ALPHABETS.match(char) is not None for char in letters) / max(1, len(letters))
