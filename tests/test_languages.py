"""Sets in ten languages, by a server that answers in each of them: what is asked, what is kept, and what is not.

A file of `language_texts` holds real sentences of a language: three scenes with their conversations, and what a model
says instead.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builds import ECHO, rows, unicorn
from tests.engines.chat_server import Body, ChatServer, Reply, completion, subject
from tests.stages import SerialPool
from unicorn_hf.builders.validate import validate_folder
from unicorn_hf.core.language import foreign
from unicorn_hf.core.languages import english_name, full_name, listed, word_lists
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.pipeline.run import build
from unicorn_hf.runtime.progress import Progress

pytestmark = pytest.mark.slow

TEXTS = Path(__file__).parent / "language_texts"
LANGUAGES = sorted(path.stem for path in TEXTS.glob("*.yaml"))
TASKS = ("question_answering", "multiple_choice", "complex_reasoning")
WITHOUT_CONTENT_WORDS = "th"


def texts_of(language: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))
    return found


def captions_of(language: str) -> dict[str, str]:
    """Answers by their seeds: the three scenes, and one answer for each reason to reject."""
    texts = texts_of(language)
    scenes = texts["captions"]
    foreign = texts_of("de" if language == "en" else "en")["captions"][2]
    bad = [
        texts["refusal"],
        texts["talk"],
        texts["unsafe"],
        texts["rhetoric"],
        f"{scenes[0]} {texts['rhetoric']}",
        foreign,
        scenes[1],
    ]
    return dict(zip([*texts["seeds"], *texts["others"]], [*scenes, *bad], strict=True))


def pairs_of(language: str, task: str) -> list[dict[str, object]]:
    return [
        {"question": question, "right": right, "wrong": wrong} if wrong else {"question": question, "answer": right}
        for question, right, *wrong in texts_of(language)[task]
    ]


def task_of(schema: dict[str, Any]) -> str:
    pair = schema["properties"]["pairs"]["items"]["properties"]
    if "right" in pair:
        return "multiple_choice"
    return "complex_reasoning" if pair["answer"]["maxLength"] > 400 else "question_answering"


@dataclass
class Speaker:
    """Answers in one language: a caption by its seed, and of each scene the conversation of one task."""

    language: str

    def __call__(self, body: Body, time: int) -> Reply:
        asked = subject(body)
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is None:
            answers = captions_of(self.language)
            answer = next(answer for seed, answer in answers.items() if asked.endswith(seed))
        else:
            task = task_of(schema)
            scene = texts_of(self.language)["captions"][TASKS.index(task)]
            answer = json.dumps({"pairs": pairs_of(self.language, task) if asked.endswith(scene) else []})
        return Reply.json(completion(body, message={"role": "assistant", "content": answer}))


class Notes(Progress):
    """Keeps what a build says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)


@dataclass
class Built:
    folder: Path
    bodies: list[Body]
    notes: str
    is_valid: bool

    @property
    def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "statistics.json").read_text())
        return found


def recipe(language: str, url: str, seeds: Path) -> dict[str, object]:
    pairs = {"min": 2, "max": 3}
    tasks = {task: {"weight": 1, "pairs": pairs, "prompt": f"{task}-v2"} for task in TASKS}
    return {
        "language": language,
        "seeds": {"sources": [{"kind": "file", "path": str(seeds)}]},
        "engine": {"kind": "endpoint", "base_url": url, "model": "speaker"},
        "captions": {"num": 3, "captions_per_seed": 1},
        "instructions": {"num": 3, "attempts": 1, "tasks": tasks},
        "representations": {"encoder": "hashing:64"},
        "cluster": {"workers": 1},
    }


def made(language: str, folder: Path) -> Built:
    server, notes = ChatServer(), Notes()
    server.script = Speaker(language)
    (folder / "seeds.txt").write_text("\n".join(captions_of(language)), encoding="utf-8")
    with server.running():
        build(Recipe.model_validate(recipe(language, server.url, folder / "seeds.txt")), folder / "set", progress=notes)
    return Built(folder / "set", server.bodies, "\n".join(notes.lines), validate_folder(folder / "set").valid)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Built in this process: where the work runs is not what these tests are about, and starting workers takes long."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("unicorn_hf.pipeline.run.open_pool", lambda *given, **options: nullcontext(SerialPool()))
        return {language: made(language, tmp_path_factory.mktemp(language)) for language in LANGUAGES}


def test_each_language_with_word_lists_has_texts() -> None:
    assert listed() == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_right_is_kept_and_what_is_not_is_counted_by_its_reason(sets: dict[str, Built], language: str) -> None:
    captions = sets[language].statistics["captions"]
    lost = "duplicate" if language == WITHOUT_CONTENT_WORDS else "lost_seed"
    reasons = ("caption_talk", "language", lost, "refusal", "rhetoric", "too_short", "unsafe")
    # A build asks for no more than it needs: those that come after the third good one are not asked.
    rejected = captions["rejected"]
    assert rejected.items() <= dict.fromkeys(reasons, 1).items()
    assert (captions["num_candidates"], captions["num_kept"]) == (3 + sum(rejected.values()), 3)
    assert {row["caption"] for row in rows(sets[language].folder, "pretrain")} == set(texts_of(language)["captions"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_task_has_its_conversation_without_the_pair_that_fails(sets: dict[str, Built], language: str) -> None:
    instructions = sets[language].statistics["instructions"]
    assert set(instructions["rejected"]) <= {"wrong_count"}
    dropped = instructions["dropped"]
    unknown = dropped.pop("not_known", 0) + dropped.pop("ungrounded_answer", 0)
    assert (dropped, unknown) == ({"caption_talk": 1, "personal": 1}, 1)
    found = {row["task"]: row["conversations"] for row in rows(sets[language].folder, "instruction")}
    for task in TASKS:
        questions = [turn["value"].removeprefix("<image>\n") for turn in found[task] if turn["from"] == "human"]
        wanted = [pair["question"] for pair in pairs_of(language, task)[:2]]
        assert [question.split("\n")[0] for question in questions] == wanted


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_set_validates_and_its_card_says_its_language(sets: dict[str, Built], language: str) -> None:
    assert sets[language].is_valid
    card = (sets[language].folder / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["language"] == [language]
    assert f"Captions and conversations are in {english_name(language)}" in card


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_caption_answers_a_request_in_its_language(sets: dict[str, Built], language: str) -> None:
    lists = word_lists(language)
    for row in rows(sets[language].folder, "pretrain"):
        asked = row["conversations"][0]["value"].removeprefix("<image>\n")
        assert asked in lists.describe if lists else asked.isascii()


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_request_asks_for_the_language_and_english_ones_say_nothing_of_it(
    sets: dict[str, Built], language: str
) -> None:
    for body in sets[language].bodies:
        system, asked = body["messages"][0]["content"], body["messages"][-1]["content"]
        sentence = f"Write in {full_name(language)}"
        assert (sentence in system and asked.startswith(sentence)) == (language != "en")


def test_what_is_not_looked_at_in_a_language_is_told(sets: dict[str, Built]) -> None:
    thai = (sets["th"].folder / "README.md").read_text(encoding="utf-8")
    for text in (thai, sets["th"].notes):
        assert "The words of Thai cannot be separated" in text
        assert "In Thai, 4 characters count as a word." in text
    assert "cannot be separated" not in sets["de"].notes


def test_a_rehearsal_is_in_the_language_of_the_option(tmp_path: Path) -> None:
    seeds = "\n".join(f"{thing}在{place}" for thing in ("黑猫", "小狗", "木船") for place in ("河边", "桌上", "院子里"))
    (tmp_path / "seeds.txt").write_text(seeds, encoding="utf-8")
    options = ["--language", "zh", "--captions", 6, "--instructions", 3, "--workers", 1, "--out", "set"]
    done = unicorn("build", "parti", *ECHO, "--seeds", "seeds.txt", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "In Chinese, 2 characters count as a word." in done.stderr
    assert validate_folder(tmp_path / "set").valid
    found = rows(tmp_path / "set", "pretrain") + rows(tmp_path / "set", "instruction")
    assert len(found) == 9
    assert all(foreign(row["caption"], ["zh"]) is None for row in found)
    assert all(turn["value"].isascii() is (len(turn["value"]) == 1) for row in found for turn in row["conversations"])
