"""A recipe, its statistics and rows, with any text in any place; and what a Markdown parser sees in a card."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from unicorn_hf.cards.costs import RunFacts
from unicorn_hf.cards.statistics import Statistics
from unicorn_hf.core.recipe import Recipe

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])

HOSTILE = (
    "---\nlicense: mit\n---\n# not a heading",
    "# heading",
    "=====",
    "- item",
    "+ item",
    "1. item",
    "12) item",
    "> quote",
    "***",
    "    indented code",
    "\tindented code",
    "```\nout of the block\n```",
    "~~~\nout of the block",
    "`` ` ``` ```` `````",
    "| a | b |\n|---|---|\n| c | d |",
    "|",
    ":--",
    "a | b \\| c",
    "ends with a backslash\\",
    "hard break  \nhere",
    "<script>alert(1)</script>",
    "<!-- a comment without an end",
    "<img src=x onerror=alert(1)>",
    "</code></pre></td></table><h1>x</h1>",
    "<https://example.com>",
    "https://example.com/a_b_c",
    "www.example.com",
    "someone@example.com",
    "[text](javascript:alert(1))",
    "![image](https://example.com/x.png)",
    "[ref]: https://example.com 'x'",
    "[^1]: note",
    "**bold** _em_ ~~gone~~ *a*",
    "&lt;b&gt; &amp; &#42;&copy;",
    "{{ recipe }} {% include '/etc/passwd' %} {# x #}",
    "${HOME} $(id) `id` %s %(x)s {0}",
    "$$x$$ \\(y\\)",
    "{}: &a *a !!python/object:os.system [x] 'y\" ? - % @",
    "key: value # comment",
    "null",
    "yes",
    "\ufeffBOM",
    "nul\x00 bell\x07 escape\x1b[31m red \x7f \x9b",
    "\u202eright to left\u202c \u2066isolate\u2069 \u200fmark",
    "line\x0bends\x0cof\x1call\x85kinds\u2028and\u2029more\r\nend\rlast",
    "zero\u200bwidth \u00adsoft hyphen \U000e0041tag",
    "../../../etc/passwd",
    "C:\\Windows\\..\\x",
    "file:///etc/passwd",
    "long " + "x" * 1_000_000,
    "`" * 5000,
    "👩‍👩‍👧 नमस्ते مرحبا 日本語",
)


@dataclass(frozen=True)
class Texts:
    """Every text of a card that is not ours."""

    title: str = "A title"
    note: str = "A note."
    language: str = "en"
    source: str = "Some captions"
    path: str = "captions.txt"
    domain: str = "open-domain"
    license: str = "a licence"
    model_license: str = "apache-2.0"
    model: str = "Org/Model"
    prompt: str = "caption-v1"
    encoder: str = "org/clip"
    reason: str = "too_short"
    task: str = "multiple_choice"
    version: str = "1.0"
    evaluation: str = "A benchmark"
    machine: str = "2 cores of a processor"
    id: str = "0f"
    caption: str = "A caption."
    sender: str = "human"
    value: str = "A value."
    seed: str = "A seed."

    @classmethod
    def all(cls, text: str) -> "Texts":
        return cls(**{field.name: text for field in fields(cls)})

    def one(self, name: str, text: str) -> "Texts":
        return replace(self, **{name: text})


def recipe(texts: Texts | None = None, **changes: Any) -> Recipe:
    texts = texts or Texts()
    source = {
        "kind": "file",
        "path": texts.path,
        "name": texts.source,
        "domain": texts.domain,
        "license": texts.license,
    }
    data: dict[str, Any] = {
        "title": texts.title,
        "note": texts.note,
        "language": [texts.language],
        "seeds": {"sources": [source]},
        "engine": {"kind": "vllm", "model": texts.model, "revision": "main"},
        "captions": {"num": 1000, "prompt": texts.prompt},
        "instructions": {"num": 400},
        "representations": {"encoder": f"open_clip:hf-hub:{texts.encoder}"},
    }
    return Recipe.model_validate(data | changes)


def statistics(texts: Texts | None = None, **changes: Any) -> Statistics:
    """Figures that are all different, so that each can be found in a card."""
    texts = texts or Texts()
    source = {"name": texts.source, "domain": texts.domain, "license": texts.license, "num_seeds": 2417}
    data: dict[str, Any] = {
        "engine": texts.model,
        "engine_deterministic": False,
        "model_license": texts.model_license,
        "seeds": {"num_seeds": 2417, "sources": [source], "skipped": {texts.reason: 13}},
        "captions": _stage(1201, 1000, {texts.reason: 201}, 1300, 400_123, 170_456),
        "caption_words": {
            "mean": 104.25, "min": 41, "lower": 77, "median": 103, "upper": 149, "max": 233,
            "histogram": [{"first": 40, "last": 139, "num": 871}, {"first": 140, "last": 239, "num": 129}],
        },
        "diversity": {
            "vocabulary": 8511, "type_token_ratio": 0.6812, "distinct_1": 0.0821, "distinct_2": 0.4132,
            "distinct_3": 0.7724, "is_estimate": False, "added_words": 37.25, "duplicate_share": 0.000831,
            "near_duplicate_share": 0.012942,
        },
        "instructions": _stage(490, 400, {texts.reason: 90}, 505, 90_789, 80_987),
        "representations": {
            "encoder": f"open_clip:hf-hub:{texts.encoder}",
            "dim": 512,
            "transfer": "mean_shift",
            "dtype": "float16",
            "has_image_side": True,
            "num_long": 0,
            "long_captions": "truncate",
            "text_mean_norm": 0.7312,
        },
        "pretrain": _config("pretrain", 1000, 1_500_000, 700_000, 1000, {texts.domain: 1000}, {}),
        "instruction": _config(
            "instruction", 400, 900_000, 450_000, 2711, {texts.domain: 400}, {texts.task: 400}
        ),
        "overlaps": [
            {"name": texts.evaluation, "num_texts": 907, "run_words": 8, "num_pretrain": 31, "num_instruction": 17}
        ],
        "versions": {"unicorn-hf": texts.version, "vllm": texts.version},
    }  # fmt: skip
    return Statistics.model_validate(data | changes)


def run(texts: Texts | None = None) -> RunFacts:
    times = {"captions": 5400, "instructions": 1200, "representations": 30.26, "packaging": 569.74}
    stages = {name: {"seconds": seconds, "num_retries": 7 * (name == "captions")} for name, seconds in times.items()}
    return RunFacts.model_validate({"machines": [(texts or Texts()).machine], **stages})


def examples(texts: Texts | None = None) -> dict[str, dict[str, object]]:
    texts = texts or Texts()
    turns = [{"from": texts.sender, "value": texts.value}, {"from": texts.sender, "value": texts.value}]
    row: dict[str, object] = {
        "id": texts.id, "caption": texts.caption, "conversations": turns, "seed": texts.seed, "domain": texts.domain,
    }  # fmt: skip
    return {"pretrain": row, "instruction": row | {"task": texts.task}}


def body_of(card: str) -> str:
    return card.split("\n---\n", 1)[1]


def structure(markdown: str) -> list[str]:
    """What the parser makes of a text, without the text: blocks, and marks inside of lines."""
    found: list[str] = []
    for token in MARKDOWN.parse(markdown):
        found.append(f"{token.type} {token.tag} {token.info}")
        found += [
            child.type for child in token.children or () if child.type not in ("text", "text_special", "softbreak")
        ]
    return found


def lines_of(markdown: str) -> list[str]:
    """The text of each paragraph, heading, cell and block, as a reader sees it."""
    return [
        token.content if token.type in ("fence", "code_block", "html_block") else "".join(_seen(token.children or ()))
        for token in MARKDOWN.parse(markdown)
        if token.type in ("inline", "fence", "code_block", "html_block")
    ]


def _seen(children: Iterable[Token]) -> Iterator[str]:
    for child in children:
        yield "\n" if child.type == "softbreak" else child.content


def _stage(candidates: int, kept: int, rejected: Mapping[str, int], requests: int, prompt: int, output: int) -> Any:
    return {
        "num_candidates": candidates,
        "num_kept": kept,
        "rejected": dict(rejected),
        "num_requests": requests,
        "num_prompt_tokens": prompt,
        "num_output_tokens": output,
    }


def _config(
    name: str, rows: int, size: int, file_size: int, turns: int, domains: Mapping[str, int], tasks: Mapping[str, int]
) -> Any:
    shard = {"file": f"{name}/train-00000-of-00001.parquet", "num_rows": rows, "num_bytes": file_size, "sha256": "0"}
    return {
        "num_rows": rows,
        "num_bytes": size,
        "num_file_bytes": file_size,
        "num_turns": turns,
        "per_domain": dict(domains),
        "per_task": dict(tasks),
        "turns": {"6": rows},
        "question_words": {"what": 2501, "other": 209} if tasks else {},
        "answer_letters": {"A": 283, "D": 281} if tasks else {},
        "shards": [shard],
    }
