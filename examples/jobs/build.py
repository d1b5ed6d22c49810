# /// script
# requires-python = ">=3.11"
# dependencies = ["unicorn-hf[gpu,hf]"]
#
# [tool.hf-jobs]
# flavor = "l40sx1"
# timeout = "8h"
# secrets = ["HF_TOKEN"]
# ///
"""Build a data set in a Hugging Face Job, and push it from there.

    hf jobs uv run build.py RECIPE --push ORG/NAME [OPTIONS of `unicorn-hf build`]

The work folder is in the private bucket ORG/unicorn-work, so the same command resumes a job that was cut off.
"""

import argparse
import sys
from collections.abc import Sequence

from unicorn_hf.cli import main


def arguments(given: Sequence[str]) -> list[str]:
    """The command: what suits a job, then `given`, which wins."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--push", required=True, metavar="ORG/NAME")
    owner, _, name = parser.parse_known_args(given)[0].push.rpartition("/")
    if not owner:
        parser.error("--push must name the owner too: ORG/NAME")
    return ["build", "--work-dir", f"hf://buckets/{owner}/unicorn-work/{name}", "--yes", *given]


if __name__ == "__main__":
    main(arguments(sys.argv[1:]))
