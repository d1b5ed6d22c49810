"""A built folder in which every text that is not ours tries to be something else."""

import json
import shutil
from itertools import cycle, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.cards.samples import HOSTILE
from unicorn_hf.core.schemas import REJECTIONS

SCRIPTS = (
    "</script><script>window.pwned=1</script>",
    "--></script><script>window.pwned=1</script><!--",
    "<!--<script>",
    "<img src=x onerror=window.pwned=1>",
    "\"><svg onload='window.pwned=1'>",
    "<style>*{display:none!important}</style><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "<a href=\"javascript:window.pwned=1\">x</a><base href='https://example.com/'>",
    "<meta http-equiv=refresh content='0;url=https://example.com/'>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "@domain{safe} @{text}{safe} $index @$name",
    "$$\\require{href}\\href{javascript:window.pwned=1}{x}$$",
    "\\u003cscript\\u003ewindow.pwned=1\\u003c/script\\u003e",
)
TEXTS = (
    "[bold red]x[/] [link=file:///etc]y[/link]",
    *SCRIPTS,
    *(text for text in HOSTILE if len(text) < 10_000),
    "endless " + "x" * 200_000,
)


def hostile_set(made: Path, folder: Path) -> Path:
    """A copy of the build `made` at `folder`, with work files; a row of each config for each of `TEXTS`."""
    shutil.copytree(made, folder)
    for config in ("pretrain", "instruction"):
        (path,) = (folder / config).glob("*.parquet")
        table = pq.read_table(path)
        some = [dict(row) for row in islice(cycle(table.to_pylist()), len(TEXTS))]
        for row, text in zip(some, TEXTS, strict=True):
            row |= {"id": text[:100], "caption": text, "seed": text, "domain": text}
            row["conversations"] = [{"from": "human", "value": text}, {"from": text, "value": text}]
            if config == "instruction":
                row["task"] = text
        path.unlink()
        pq.write_table(pa.Table.from_pylist(some, schema=table.schema), path)
    facts = json.loads((folder / "statistics.json").read_text())
    facts |= {"engine": "".join(SCRIPTS)}
    for stage in ("captions", "instructions"):
        facts[stage]["rejected"] = dict.fromkeys(TEXTS, 3)
        shard = folder.with_name(f"{folder.name}.work") / f"{stage}-0" / "0.rejections.parquet"
        shard.parent.mkdir(parents=True)
        fields = [field for field in REJECTIONS.names if field != "stage"]
        rejections = [dict.fromkeys(fields, text) | {"stage": stage} for text in TEXTS]
        pq.write_table(pa.Table.from_pylist(rejections, schema=REJECTIONS), shard)
    for config in ("pretrain", "instruction"):
        facts[config]["per_domain"] = dict.fromkeys(TEXTS, 2)
    facts["instruction"] |= {name: dict.fromkeys(TEXTS, 2) for name in ("per_task", "question_words", "answer_letters")}
    (folder / "statistics.json").write_text(json.dumps(facts))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"title": "".join(SCRIPTS)}))
    return folder
