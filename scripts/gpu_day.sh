#!/usr/bin/env bash
# Runs everything that needs a GPU within 12 minutes and prints one table: scripts/gpu_day.sh --help
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
python="$root/.venv/bin/python"
# A machine without a network has no .venv: its own Python must find the packages.
[[ -x "$python" ]] || python=python3
exec "$python" "$root/scripts/gpu_day.py" "$@"
