"""The message of a build that rejects too much shows what was rejected, and which keys decide it."""

from pathlib import Path

from unicorn_hf.core.choices import CAPTION_FILTERS
from unicorn_hf.core.schemas import REJECTIONS
from unicorn_hf.runtime.files import rows_table, write_table
from unicorn_hf.runtime.rejections import bounds, explained


def write(step: Path, partition: str, *reasons: str, raw: str = "Short.") -> None:
    rows = [
        {"id": "1", "stage": "captions", "reason": reason, "detail": "1 word", "subject": "A dog", "raw": raw}
        for reason in reasons
    ]
    write_table(step / f"{partition}.rejections.parquet", rows_table(rows, REJECTIONS), REJECTIONS)


def test_frequent_reasons_have_an_example_and_their_keys(tmp_path: Path) -> None:
    write(tmp_path, "000", "too_short", "unfinished")
    write(tmp_path, "001", "refusal", raw="I'm sorry,\nI cannot.")
    told = explained("captions", tmp_path, {"unfinished": 1, "refusal": 3, "too_short": 7, "moderated": 2})
    assert told.splitlines() == [
        "  too_short (1 word): Short.",
        "    keys: captions.filters.min_words",
        "  refusal (1 word): I'm sorry, I cannot.",
        "    keys: captions.filters.forbid_refusals",
        "  unfinished (1 word): Short.",
        "    keys: captions.sampling.max_tokens",
    ]
    assert told.endswith("\n")


def test_an_example_is_cut_and_a_damaged_shard_skipped(tmp_path: Path) -> None:
    (tmp_path / "000.rejections.parquet").write_bytes(b"no Parquet")
    write(tmp_path, "001", "markup", raw="x" * 1000)
    assert f"{'x' * 200}…\n" in explained("captions", tmp_path, {"markup": 1})
    assert explained("captions", tmp_path / "absent", {"markup": 1}) == ""


def test_a_conversation_filter_without_bounds_can_be_left_out() -> None:
    assert bounds("instructions", "asks_back") == "instructions.tasks.TASK.filters.without: [asks_back]"
    assert "instructions.tasks.TASK.filters.min_grounded, " in bounds("instructions", "ungrounded_answer")
    assert bounds("instructions", "wrong_count") == bounds("captions", "not_answered") == ""


def test_every_filter_of_captions_that_has_bounds_names_them() -> None:
    for reason in CAPTION_FILTERS.names:
        assert bounds("captions", reason) or not CAPTION_FILTERS.get(reason).model_fields
