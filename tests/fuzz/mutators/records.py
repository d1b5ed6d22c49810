"""Files of rows as text: lines, JSON lines, tables with separators."""

import csv
import io
import json
from random import Random

from tests.fuzz.mutators.trees import changed, dumped
from tests.fuzz.mutators.values import text


def mutated_text(rng: Random, content: bytes) -> bytes:
    lines = content.decode().splitlines()
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(lines) + 1)
        new = text(rng)
        lines[at : at + rng.choice((0, 1, len(lines)))] = [new] * rng.choice((1, 1, 2, 300 if len(new) < 1000 else 1))
    return rng.choice(("\n", "\n", "\r\n", "\n\n")).join(lines).encode("utf-8", "surrogatepass")


def mutated_lines(rng: Random, content: bytes) -> bytes:
    """JSON lines: one row changed as a tree, or all rows in the same way."""
    lines = content.splitlines()
    at = rng.randrange(len(lines))
    same = rng.getrandbits(32)
    for number in range(len(lines)) if rng.random() < 0.3 else (at,):
        lines[number] = json.dumps(changed(Random(same), json.loads(lines[number]))).encode()
    if rng.random() < 0.2:
        lines.insert(at, rng.choice((b"", b"[]", b"null", b"{", b'"a"', b"{}", dumped(rng, {"caption": text(rng)}))))
    return b"\n".join(lines)


def mutated_csv(rng: Random, content: bytes, separator: str = ",") -> bytes:
    rows = list(csv.reader(io.StringIO(content.decode()), delimiter=separator))
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        change = rng.randrange(5)
        if change == 0:
            row[rng.randrange(len(row) or 1) :] = [text(rng)]
        elif change == 1:
            row.extend([text(rng)[:1000]] * rng.choice((1, 1000)))
        elif change == 2:
            rows.insert(0, [text(rng) for _ in row])
        elif change == 3:
            rows[0] = [*rows[0][:-1], rng.choice((*rows[0][:1], text(rng)))]
        else:
            row.clear()
    stream = io.StringIO()
    writer = csv.writer(
        stream,
        delimiter=rng.choice((separator, separator, separator, ";", "|", "\t")),
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        escapechar="\\",
        lineterminator=rng.choice(("\n", "\r\n", "\r")),
    )
    writer.writerows(rows)
    return stream.getvalue().encode("utf-8", "surrogatepass")


def mutated_tsv(rng: Random, content: bytes) -> bytes:
    return mutated_csv(rng, content, "\t")
