"""lmms-eval's own runner asks our model, by the command of docs/train.md, in an environment of its own."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from datasets import Dataset, Features, Value
from datasets import Image as Picture
from PIL import Image

from tests.docs.blocks import ROOT, blocks
from tests.emoji import PICTURES
from tests.test_release import source_files
from unicorn_hf.vlm import UnicornForConditionalGeneration

pytestmark = pytest.mark.slow

QUESTIONS = ["What is it?", "Describe in some detail what can be seen here, and where."]
TOKENS = 12
TASK = """\
dataset_path: parquet
dataset_kwargs: {{data_files: {{test: {rows}}}}}
task: tiny
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: "{{{{question}}}}"
doc_to_target: answer
generation_kwargs: {{max_new_tokens: {tokens}, temperature: 0, until: {until}}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
UTILS = """\
def visual(row):
    return [row["image"].convert("RGB")] if row["image"] else []
"""


class Row(NamedTuple):
    """A question of the task, with what our model answers."""

    picture: Path | None
    question: str
    answer: str


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of an environment with lmms-eval and this package, as pip installs them, on top of the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    for name in source_files():
        if name.startswith("unicorn_hf/") or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    run([*uv, "venv", "--python", sys.executable, "lmms"], folder)
    [packages] = (folder / "lmms" / "lib").glob("python*/site-packages")
    tests_own = sysconfig.get_path("purelib")
    (packages / "tests_own.pth").write_text(f"import site; site.addsitedir({tests_own!r})\n")
    install = [*uv, "pip", "install", "--python", "lmms", "--no-deps"]
    run([*install, "-r", ROOT / "requirements" / "lmms-eval.txt"], folder)
    run([*install, "--no-build-isolation", "./source"], folder)
    return folder / "lmms" / "bin"


@pytest.fixture(scope="module")
def place(saved: Path, encoder: str, statistics: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with a model in it."""
    folder = tmp_path_factory.mktemp("user")
    model = UnicornForConditionalGeneration.from_pretrained(saved, encoder=encoder)
    model.add_image_statistics(statistics)
    model.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def rows(place: Path, encoder: str) -> list[Row]:
    model = UnicornForConditionalGeneration.from_pretrained(place / "model", encoder=encoder).eval()
    asked = [(PICTURES[number % 5] if number % 4 else None, QUESTIONS[number % 3 % 2]) for number in range(22)]
    return [Row(picture, question, alone(model, picture, question)) for picture, question in asked]


def alone(model: UnicornForConditionalGeneration, picture: Path | None, question: str) -> str:
    """The model's answer outside of any batch."""
    if picture:
        [answer] = model.answer([Image.open(picture).convert("RGB")], [question], max_new_tokens=TOKENS)
        return answer
    messages = [{"role": "user", "content": question}]
    text = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    prompt = model.tokenizer(text, add_special_tokens=False, return_tensors="pt")
    ids = model.language_model.generate(**prompt, max_new_tokens=TOKENS, do_sample=False)
    answer = model.tokenizer.decode(ids[0, prompt.input_ids.shape[1] :], skip_special_tokens=True)
    return str(answer).strip()


def run(command: list[Any], folder: Path) -> str:
    """What a command prints, without the tests' paths of modules."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def documented() -> list[str]:
    """The command of docs/train.md."""
    [code] = [block.code for block in blocks("bash") if block.page == "docs/train.md" and "lmms-eval" in block.code]
    [line] = [line for line in code.replace("\\\n", " ").splitlines() if line.startswith("lmms/bin/lmms-eval")]
    return shlex.split(line)


def write_task(folder: Path, rows: list[Row], until: str) -> list[str]:
    """A task whose right answers are the model's own in every second row; returns what lmms-eval has to answer."""
    expected = [row.answer.partition(until)[0].strip() for row in rows]
    columns = {
        "image": [str(row.picture) if row.picture else None for row in rows],
        "question": [row.question for row in rows],
        "answer": [answer if number % 2 else "nothing of the kind" for number, answer in enumerate(expected)],
    }
    features = Features({"image": Picture(), "question": Value("string"), "answer": Value("string")})
    folder.mkdir()
    Dataset.from_dict(columns, features=features).to_parquet(folder / "rows.parquet")
    (folder / "tiny.yaml").write_text(
        TASK.format(rows=json.dumps(str(folder / "rows.parquet")), tokens=TOKENS, until=json.dumps([until]))
    )
    (folder / "utils.py").write_text(UTILS)
    return expected


def test_the_documented_command_gives_the_models_answers_and_their_score(
    environment: Path, place: Path, encoder: str, rows: list[Row]
) -> None:
    longest = max((row.answer for row in rows), key=len)
    expected = write_task(place / "tasks", rows, until=longest[len(longest) // 2])
    assert sum(answer != row.answer for answer, row in zip(expected, rows, strict=True)) > 1
    assert len(set(expected)) > 8
    program, *arguments = documented()
    assert program == "lmms/bin/lmms-eval"
    arguments[arguments.index("--tasks") + 1] = "tiny"
    arguments[arguments.index("--model_args") + 1] += f",encoder={encoder}"
    arguments[arguments.index("--batch_size") + 1] = "3"
    said = run([environment / "lmms-eval", *arguments, "--include_path", place / "tasks"], place)
    results = list((place / "results").rglob("*_results.json"))
    assert len(results) == 1, said
    samples = [json.loads(line) for line in next(results[0].parent.glob("*_samples_tiny.jsonl")).open()]
    samples.sort(key=lambda sample: sample["doc_id"])
    assert [sample["filtered_resps"] for sample in samples] == expected
    assert [sample["exact_match"] for sample in samples] == [0.0, 1.0] * (len(rows) // 2)
    found = json.loads(results[0].read_text())
    assert found["results"]["tiny"]["exact_match,none"] == 0.5
    assert found["config"]["model"] == "unicorn"


CHECK = """
import sys
from types import SimpleNamespace

from PIL import Image

from unicorn_hf.core.errors import InputError
from unicorn_hf.vlm.lmms import Unicorn


def told(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except InputError as error:
        print(error)


def request(visuals, **generation):
    unicorn.task_dict = {"tiny": {"test": [None]}}
    return SimpleNamespace(args=("What is it?", generation, lambda row: visuals, 0, "tiny", "test"))


picture = Image.new("RGB", (8, 8), "red")
bare, model, statistics, encoder = sys.argv[1:]
told(Unicorn, bare)
told(Unicorn, model, batch_size="auto")
unicorn = Unicorn(bare, image_statistics=statistics, encoder=encoder)
told(unicorn.generate_until, [request([picture, picture])])
told(unicorn.generate_until, [request(["film.mp4"])])
told(unicorn.loglikelihood, [])
told(unicorn.generate_until_multi_round, [])
for generation in [
    {"temperature": 0.7, "top_p": 0.9},
    {"temperature": 0, "do_sample": True, "top_p": 0.9},
    {"temperature": 0.7, "do_sample": False, "num_beams": 2, "image_aspect_ratio": "pad"},
    {"do_sample": True, "max_new_tokens": 4, "until": "x"},
]:
    print(dict(unicorn._generation(generation).options), unicorn._generation(generation).stops)
"""
TOLD = """\
the model has no image statistics, so an answer would depend on the other images of its batch
Measure them on images like those of the task: unicorn-hf calibrate. Then add image_statistics=FILE to --model_args.
batch_size must be a number above zero, not 'auto'
a question of tiny has 2 images, but the model sees one
a question of tiny is about a str, but the model sees an image
the task asks for the likelihood of answers, but this model writes its own
Choose a task with the output_type generate_until.
the task asks in several rounds, but this model answers one question
Choose a task with the output_type generate_until.
{'max_new_tokens': 256, 'do_sample': True, 'temperature': 0.7, 'top_p': 0.9} ()
{'max_new_tokens': 256, 'do_sample': False} ()
{'max_new_tokens': 256, 'do_sample': False, 'num_beams': 2} ()
{'max_new_tokens': 4, 'do_sample': True} ('x',)
"""


def test_what_the_model_cannot_do_is_said(
    environment: Path, place: Path, saved: Path, statistics: Path, encoder: str
) -> None:
    (place / "check.py").write_text(CHECK)
    said = run([environment / "python", "check.py", saved, place / "model", statistics, encoder], place)
    assert TOLD in said
