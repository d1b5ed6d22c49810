#!/usr/bin/env bash
# Installs a wheel with its base dependencies only in an environment of its own, builds with it and loads what it built.
# Usage: scripts/check_wheel.sh UV PYTHON WHEEL FOLDER CONSTRAINTS (FOLDER is made; it must lie outside the tree)
set -euo pipefail
uv="$1" python="$2" wheel="$3" folder="$4" constraints="$5"

"$uv" venv --quiet --python "$python" "$folder/venv"
"$uv" pip install --quiet --python "$folder/venv/bin/python" --constraint "$constraints" "$wheel"
cd "$folder"
# A cache of its own, so that nothing an earlier run loaded is found in place of this build.
export HF_HOME="$folder/hf" HF_HUB_OFFLINE=1
venv/bin/unicorn-hf build --engine echo --encoder hashing:64 --captions 50 --instructions 20 --out unicorn
venv/bin/python - << 'PYTHON'
import importlib.metadata
import importlib.util
from pathlib import Path

import unicorn_hf
from datasets import load_dataset

absent = [name for name in ("torch", "vllm", "transformers", "open_clip") if importlib.util.find_spec(name) is None]
assert len(absent) == 4, f"more than the base dependencies is installed: only {absent} are absent"
assert Path.cwd() in Path(unicorn_hf.__file__).resolve().parents, unicorn_hf.__file__
for config, num_rows in (("pretrain", 50), ("instruction", 20)):
    rows = load_dataset("unicorn", config, split="train")
    assert rows.num_rows == num_rows, (config, rows.num_rows)
    assert len(rows[0]["image_embedding"]) == 64
    assert len(list(load_dataset("unicorn", config, split="train", streaming=True))) == num_rows
assert load_dataset("unicorn", split="train").num_rows == 50
names = ("dask", "datasets", "huggingface_hub", "numpy", "pyarrow", "pydantic")
print("Loaded 50 and 20 rows with", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))
PYTHON
