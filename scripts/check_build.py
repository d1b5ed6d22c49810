"""Checks every row of a published folder, with nothing of unicorn-hf: what is wrong here is wrong for everybody.

    python scripts/check_build.py unicorn

Prints what it read and the first problems of each kind; exits with 1 if there is any.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

TASKS = {"multiple_choice", "question_answering", "complex_reasoning"}
COLUMNS = ["id", "caption", "conversations", "image_embedding", "seed", "domain"]
CHOICE = re.compile(r"(?P<question>.+)\nA\. (?P<A>.+)\nB\. (?P<B>.+)\nC\. (?P<C>.+)\nD\. (?P<D>.+)")
TALK = re.compile(
    r"\b(?:the|this|your|given) caption\b(?! (?:below|on|under|of the))|\bas (?:described|stated|mentioned)\b"
    r"|\bnot mentioned\b|\baccording to the (?:description|caption|passage)\b"
    r"|\bas an ai\b|\bi(?:'m| am) sorry\b|\blanguage model\b",
    re.IGNORECASE,
)
FIRST = 5


class Problems:
    """What is wrong, by kind: how often, and where first."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = defaultdict(list)

    def check(self, holds: object, kind: str, where: str) -> bool:
        if not holds:
            self.found[kind].append(where)
        return bool(holds)


def check_folder(folder: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    """The rows that were read, by config, and what is wrong, by kind."""
    problems = Problems()
    statistics = json.loads((folder / "statistics.json").read_text(encoding="utf-8"))
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    captions: dict[str, str] = {}
    for where, row in rows(folder, "pretrain", recipe, statistics, problems):
        problems.check(row["id"] not in captions, "id twice", where)
        captions[row["id"]] = row["caption"]
        turns = turns_of(row, where, problems)
        problems.check(len(turns) == 2 and turns[-1] == row["caption"], "not answered with the caption", where)
    seen: set[str] = set()
    letters: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for where, row in rows(folder, "instruction", recipe, statistics, problems):
        problems.check(row["id"] not in seen, "id twice", where)
        seen.add(row["id"])
        problems.check(captions.get(row["id"]) == row["caption"], "not a caption of pretrain", where)
        if problems.check(row["task"] in TASKS, "unknown task", where):
            tasks[row["task"]] += 1
            check_conversation(row, recipe["instructions"]["tasks"][row["task"]], where, letters, problems)
    check_statistics(statistics, recipe, {"pretrain": len(captions), "instruction": len(seen)}, problems)
    said = statistics["instruction"]
    problems.check(said["per_task"] == dict(tasks), "task mix", f"{said['per_task']}, not {dict(tasks)}")
    problems.check(said["answer_letters"] == dict(letters), "letters", f"{said['answer_letters']}, not {dict(letters)}")
    return {"pretrain": len(captions), "instruction": len(seen)}, problems.found


def rows(
    folder: Path, config: str, recipe: Mapping[str, Any], statistics: Mapping[str, Any], problems: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place, after its shard's schema was checked."""
    messages = ["messages"] if recipe.get("packaging", {}).get("messages") else []
    wanted = sorted([*COLUMNS, *messages, *(["task"] if config == "instruction" else [])])
    paths = sorted((folder / config).glob("*.parquet"))
    problems.check(paths, "no shard", config)
    for path in paths:
        file = pq.ParquetFile(path)
        names = sorted(file.schema_arrow.names)
        if not problems.check(names == wanted, "columns", f"{path.name}: {names}, not {wanted}"):
            continue
        dim = file.schema_arrow.field("image_embedding").type.list_size
        problems.check(dim == statistics["representations"]["dim"], "dimension", f"{path.name}: {dim}")
        start = 0
        for batch in file.iter_batches(batch_size=1000):
            for place, row in enumerate(batch.to_pylist(), start):
                where = f"{config}/{path.name} row {place}"
                vector = row["image_embedding"]
                problems.check(vector and all(map(_finite, vector)), "vector", where)
                texts = [row[name] for name in ("id", "caption", "seed", "domain")]
                problems.check(all(isinstance(text, str) and text.strip() for text in texts), "empty text", where)
                if messages:
                    problems.check(same_messages(row), "messages", where)
                yield where, row
            start += batch.num_rows


def turns_of(row: Mapping[str, Any], where: str, problems: Problems) -> list[str]:
    """The texts of a conversation, without the image's mark; none if they are not what they should be."""
    turns = row["conversations"]
    senders = [turn["from"] for turn in turns]
    if not problems.check(turns and senders == ["human", "gpt"] * (len(turns) // 2), "roles", where):
        return []
    values = [turn["value"] for turn in turns]
    problems.check(all(value.strip() for value in values), "empty turn", where)
    problems.check(sum(value.count("<image>") for value in values) == 1, "<image> not once", where)
    problems.check(values[0].startswith("<image>\n"), "<image> not first", where)
    return [values[0].removeprefix("<image>\n"), *values[1:]]


def check_conversation(
    row: Mapping[str, Any], task: Mapping[str, Any], where: str, letters: Counter[str], problems: Problems
) -> None:
    values = turns_of(row, where, problems)
    questions, answers = values[::2], values[1::2]
    low, high = task["pairs"]["min"], task["pairs"]["max"]
    problems.check(low <= len(questions) <= high, "number of pairs", f"{where}: {len(questions)}")
    for text in values:
        problems.check(not TALK.search(re.sub(r'"[^"]*"|“[^”]*”', "", text)), "talk", f"{where}: {text[:80]!r}")
    asked = [" ".join(re.findall(r"\w+", question.lower())) for question in questions]
    problems.check(len(set(asked)) == len(asked), "question twice", where)
    for question, answer in zip(questions, answers, strict=True):
        if row["task"] != "multiple_choice":
            problems.check(len(answer.split()) < 200, "long answer", where)
            continue
        letters[answer] += 1
        match = CHOICE.fullmatch(question)
        if problems.check(match, "no options", f"{where}: {question[:80]!r}") and match:
            options = [" ".join(re.findall(r"\w+", match[letter].lower())) for letter in "ABCD"]
            problems.check(len(set(options)) == 4, "options not distinct", where)
            problems.check(all(options), "empty option", where)
        problems.check(answer in list("ABCD"), "answer is no letter", f"{where}: {answer!r}")


def check_statistics(
    statistics: Mapping[str, Any], recipe: Mapping[str, Any], num_rows: Mapping[str, int], problems: Problems
) -> None:
    """Rows as counted here, and requested = kept + rejected by reason."""
    for stage, config in (("captions", "pretrain"), ("instructions", "instruction")):
        facts = statistics[stage]
        rejected = sum(facts["rejected"].values())
        accounted = facts["num_kept"] + rejected
        message = f"{stage}: {facts['num_candidates']} asked, {facts['num_kept']} kept, {rejected} rejected"
        problems.check(facts["num_candidates"] == accounted, "not accounted for", message)
        for said in (facts["num_kept"], statistics[config]["num_rows"], recipe[stage]["num"]):
            problems.check(said == num_rows[config], "number of rows", f"{config}: {said}, not {num_rows[config]}")


def same_messages(row: Mapping[str, Any]) -> bool:
    said = [(message["role"], _text(message["content"])) for message in row["messages"]]
    roles = {"human": "user", "gpt": "assistant"}
    return said == [(roles[turn["from"]], turn["value"]) for turn in row["conversations"]]


def _text(parts: Sequence[Mapping[str, str | None]]) -> str:
    return "".join("<image>\n" if part["type"] == "image" else part["text"] or "" for part in parts)


def _finite(number: float | None) -> bool:
    return number is not None and abs(number) < float("inf")


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    num_rows, found = check_folder(Path(sys.argv[1]))
    print(", ".join(f"{number:,} rows of {config}" for config, number in num_rows.items()))
    for kind, places in found.items():
        print(f"{kind}: {len(places):,}")
        print("".join(f"  {place}\n" for place in places[:FIRST]), end="")
    print("every row passes" if not found else "there are problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
