#!/usr/bin/env bash
# Resolves the header of examples/jobs/build.py as a Hugging Face Job does, with unicorn-hf from a wheel; installs nothing.
# Usage: scripts/check_job_script.sh UV FOLDER_OF_THE_WHEEL
set -euo pipefail
uv="$1"
wheels="$2"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The Python of the image that `hf jobs uv run` takes.
resolved="$("$uv" pip compile examples/jobs/build.py --find-links "$wheels" --quiet --no-header --no-annotate \
    --python-version 3.12 --python-platform x86_64-manylinux_2_28)"
for name in unicorn-hf vllm huggingface-hub hf-xet universal-pathlib torch; do
    if ! grep -E "^$name==" <<< "$resolved"; then
        echo "examples/jobs/build.py resolves without $name."
        exit 1
    fi
done
