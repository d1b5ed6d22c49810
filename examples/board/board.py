"""Makes one page of all data sets on the Hub that carry the tag of unicorn-hf: docs/board.md.

python examples/board/board.py                   # writes index.html beside this file
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from board_rows import BIN_WORDS, MAX_ITEMS, Row, row_of, short
from jinja2.utils import htmlsafe_json_dumps

from unicorn_hf.boards import (
    MAX_SHORT,
    TAG,
    InputError,
    Listing,
    PublishedSet,
    UnicornError,
    UnreadableSet,
    common_words,
    hashes,
    hub_address,
    page_script,
    page_style,
    page_template,
    published_sets,
    shared_between,
    write_text,
)

HERE = Path(__file__).parent
MAX_ROW_BYTES = 15_000
"""A row is about 2,000 bytes. One with much more text is left out: it would make the page slow for all."""
LEAST_SHARED = 0.1
"""Smaller shares of captions, or of their runs of words, are not on the page."""


def main() -> None:
    arguments = parsed()
    # No token: the page shows only what everybody may read.
    found = published_sets(tag=arguments.tag, most=arguments.most, public=True)
    if len(waiting := [one for one in found.unreadable if one.may_pass]) > max(1, found.num_found // 10):
        sys.exit(f"error: the Hub did not answer for {len(waiting)} of {found.num_found} sets: {waiting[0].why}")
    rows, left_out = rows_of(found)
    write_text(arguments.out, page_of(rows, left_out))
    print(f"{arguments.out}: {len(rows)} sets, and {len(left_out)} that cannot be read")


def rows_of(found: Listing) -> tuple[list[Row], list[UnreadableSet]]:
    """The rows of the table, and the sets that cannot be in it, with short texts."""
    left_out = [replace(one, name=short(one.name), why=short(one.why, MAX_SHORT)) for one in found.unreadable]
    rows: dict[str, Row] = {}
    for one in found.sets:
        try:
            rows[one.name] = checked(row_of(one))
        except Exception as error:  # noqa: BLE001 - no stranger's set may take the page from all others
            why = error.message if isinstance(error, UnicornError) else f"it cannot be read: {type(error).__name__}"
            left_out.append(UnreadableSet(short(one.name), short(why, MAX_SHORT), may_pass=False))
    shared = shared_captions([one for one in found.sets if one.name in rows])
    return [replace(row, shared=shared.get(name, ())) for name, row in rows.items()], left_out


def checked(row: Row) -> Row:
    if not all(0 <= share <= 1 for share in (row.distinct, row.rejected) if share is not None):
        raise InputError("a share is not between 0 and 1")
    if len(htmlsafe_json_dumps(asdict(row))) > MAX_ROW_BYTES:
        raise InputError("it has too much text for a row")
    return row


def shared_captions(sets: Sequence[PublishedSet]) -> dict[str, list[tuple[str, str]]]:
    """For each set the others that have most of its captions, and in words how much."""
    found = defaultdict(list)
    for one, other, common in shared_between(sets):
        if common.largest >= LEAST_SHARED:
            found[one.name].append((common.largest, other.name, common_words(common)))
    return {
        name: [(other, words) for _, other, words in sorted(others, reverse=True)[:MAX_ITEMS]]
        for name, others in found.items()
    }


def page_of(rows: Sequence[Row], left_out: Sequence[UnreadableSet]) -> str:
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("board.js", "board.css"))
    script, style = page_script() + script, page_style() + style
    return page_template(HERE / "board.html.j2").render(
        data={"hub": hub_address(), "binWords": BIN_WORDS, "rows": [asdict(row) for row in rows]},
        left_out=left_out,
        made=datetime.now(UTC),
        script=script,
        style=style,
        policy=f"default-src 'none'; script-src {hashes(script)}; style-src {hashes(style)}; "
        "base-uri 'none'; form-action 'none'",
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "index.html", help="by default index.html beside this file")
    parser.add_argument("--tag", default=TAG, help="the tag of the sets' cards (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=1000, help="maximum number of sets, those that changed last (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UnicornError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: cannot write the page: {error.strerror or error}")
