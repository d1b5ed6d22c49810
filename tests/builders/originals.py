"""The original authors' release as tests need it: small, and in its format."""

import io
import json
import random
import zipfile
from typing import Any

WORDS = "a jar on the shelf of morning light red blue wooden glass street window with two cups and an old lamp".split()


def item(number: int) -> dict[str, Any]:
    """One item of some 129 words; ids are numbers and strings in turn."""
    words = random.Random(number)
    caption = f"Picture {number}: {' '.join(words.choices(WORDS, k=127))}"
    turns = [("human", "<image>\nDescribe it – briefly."), ("gpt", caption)]
    return {
        "id": number if number % 2 else f"coco_{number}",
        "caption": caption,
        "conversations": [{"from": sender, "value": value} for sender, value in turns],
    }


def zipped(content: bytes, name: str = "Unicorn-1.2M.json") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def release(num_pretrain: int, num_instruction: int) -> dict[str, bytes]:
    """The repository's files. One list is written on one line, the other one indented: both occur."""
    pretrain = json.dumps([item(n) for n in range(num_pretrain)], ensure_ascii=False).encode()
    instruction = json.dumps([item(n) for n in range(num_instruction)], indent=4).encode()
    return {
        "README.md": b"",
        "Unicorn-1.2M.json.zip": zipped(pretrain),
        "Unicorn-Instruction-471K.json.zip": zipped(instruction),
    }
