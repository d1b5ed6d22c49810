"""Makes one page of all data sets on the Hub that carry the tag of unicorn-hf: docs/board.md.

python examples/board/board.py                   # writes index.html beside this file
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from board_rows import BIN_WORDS, Row, check_numbers, read_recipe, row_of, short
from huggingface_hub import DatasetInfo, HfApi
from huggingface_hub.hf_api import RepoFile
from jinja2.utils import htmlsafe_json_dumps

from unicorn_hf import InputError, UnicornError
from unicorn_hf.builders.repository import RECIPE, STATISTICS
from unicorn_hf.cards.statistics import read_statistics
from unicorn_hf.hub.access import check_repo_id
from unicorn_hf.hub.client import hub_requests
from unicorn_hf.hub.failures import HubError, diagnose, hub_address
from unicorn_hf.hub.regenerate import unreadable
from unicorn_hf.runtime.files import write_text
from unicorn_hf.views.pages import MAX_SHORT, hashes, page_script, page_style, page_template

HERE = Path(__file__).parent
MAX_BYTES = {STATISTICS: 2 << 20, RECIPE: 256 << 10}
"""Larger files stay unread."""
MAX_ROW_BYTES = 15_000
"""A row is about 2,000 bytes. One with much more text is left out: it would make the page slow for all."""
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Unreadable:
    """A set with the tag that is not in the table."""

    name: str
    why: str
    may_pass: bool
    """Whether the Hub or the network is the reason."""


def main() -> None:
    arguments = parsed()
    # No token: the page shows only what everybody may read.
    api = HfApi(token=False, library_name="unicorn-hf-board")
    with hub_requests(TIMEOUT_S):
        found = list(
            api.list_datasets(
                filter=arguments.tag,
                sort="last_modified",
                limit=arguments.most,
                expand=["gated", "lastModified", "sha", "tags"],
            )
        )
        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(partial(read_set, api), found))
    left_out = [result for result in results if isinstance(result, Unreadable)]
    if len(waiting := [one for one in left_out if one.may_pass]) > max(1, len(found) // 10):
        sys.exit(f"error: the Hub did not answer for {len(waiting)} of {len(found)} sets: {waiting[0].why}")
    rows = [result for result in results if isinstance(result, Row)]
    write_text(arguments.out, page_of(rows, left_out))
    print(f"{arguments.out}: {len(rows)} sets, and {len(left_out)} that cannot be read")


def read_set(api: HfApi, info: DatasetInfo) -> Row | Unreadable:
    """Read a stranger's set: two small files, as data."""
    try:
        check_repo_id(info.id)
        folder = download(api, info)
        try:
            statistics, recipe = read_statistics(folder / STATISTICS), read_recipe(folder / RECIPE)
        except InputError as error:
            raise unreadable(info.id, folder, error) from error
        check_numbers([statistics.model_dump(), recipe.model_dump()])
        row = row_of(info, statistics, recipe)
        if len(htmlsafe_json_dumps(asdict(row))) > MAX_ROW_BYTES:
            raise InputError("it has too much text for a row")
        return row
    except Exception as error:  # noqa: BLE001 - no stranger's set may take the page from all others
        problem = error if isinstance(error, UnicornError) else diagnose(error)
        why = problem.message if problem else f"it cannot be read: {type(error).__name__}"
        return Unreadable(short(info.id), short(why, MAX_SHORT), isinstance(problem, HubError) and problem.passes)


def download(api: HfApi, info: DatasetInfo) -> Path:
    """Download statistics and recipe, unless they are cached; return their folder."""
    if info.gated:
        raise InputError("its files are gated")
    found = api.get_paths_info(info.id, [*MAX_BYTES], repo_type="dataset", revision=info.sha)
    sizes = {file.path: file.size for file in found if isinstance(file, RepoFile)}
    for file, most in MAX_BYTES.items():
        if file not in sizes:
            raise InputError(f"it has no {file}")
        if sizes[file] > most:
            raise InputError(f"{file} has {sizes[file]:,} bytes; the board reads {most:,} at most")
    paths = [api.hf_hub_download(info.id, file, repo_type="dataset", revision=info.sha) for file in MAX_BYTES]
    return Path(paths[0]).parent


def page_of(rows: Sequence[Row], left_out: Sequence[Unreadable]) -> str:
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
    parser.add_argument("--tag", default="unicorn-hf", help="of the sets' cards (default: %(default)s)")
    parser.add_argument(
        "--most", type=int, default=1000, help="sets, those that changed last first (default: %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except UnicornError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: cannot write the page: {error.strerror or error}")
