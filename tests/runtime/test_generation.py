"""What becomes of candidates: shards, rejections with their raw text, counts."""

from functools import reduce
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.answers.test_asking import requests_of
from tests.stages import rejections
from unicorn_hf.core.generation import Answer
from unicorn_hf.core.outcome import NOT_ANSWERED, Rejected
from unicorn_hf.core.schemas import CAPTIONS
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.generation import Counts, GenerationRecord, Outcomes, Usage, most_common
from unicorn_hf.runtime.steps import PartitionJob, Step
from unicorn_hf.runtime.work import Work

REASONS = st.dictionaries(st.sampled_from(["too_short", "markup", "refusal"]), st.integers(1, 9))


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    rejected, kept = draw(REASONS), draw(st.integers(0, 99))
    return Counts(
        num_candidates=kept + sum(rejected.values()),
        num_kept=kept,
        rejected=rejected,
        num_requests=draw(st.integers(0, 99)),
        num_prompt_tokens=draw(st.integers(0, 99)),
        num_output_tokens=draw(st.integers(0, 99)),
    )


@given(st.lists(counts(), max_size=5))
def test_counts_add_up_in_any_order(parts: list[Counts]) -> None:
    whole = reduce(Counts.plus, parts, Counts())
    assert whole == reduce(Counts.plus, parts[::-1], Counts())
    assert whole.num_candidates == whole.num_kept + whole.num_rejected
    assert whole.num_requests == sum(part.num_requests for part in parts)
    assert whole.rejected == {
        reason: number
        for reason in ("markup", "refusal", "too_short")
        if (number := sum(part.rejected.get(reason, 0) for part in parts))
    }


class Asks(PartitionJob[GenerationRecord]):
    record_type = GenerationRecord


def step_and_job(folder: Path) -> tuple[Step, Asks]:
    step = Step.of(folder, "captions", 1)
    return step, Asks(step=step, partition="000", inputs="inputs", label="captions 000")


def test_outcomes_are_written_with_their_reasons_and_raw_texts(tmp_path: Path) -> None:
    step, job = step_and_job(tmp_path)
    requests = requests_of(3)
    answers = [
        Answer("kept", "stop", 10, 1, num_retries=2, seconds=0.5),
        Answer("** raw \n", "stop", 20, 2, num_retries=1, seconds=0.25),
        Answer("", "length", 30, 3),
    ]
    outcomes = Outcomes("captions")
    kept = {"id": "row 0", "caption": "kept", "digest": 7, "seed": "seed 0", "source": "f", "domain": "d"}
    outcomes.kept.append(kept)
    outcomes.reject(requests[1], Rejected("markup", "**"), answers[1].text)
    outcomes.reject(requests[2], Rejected("empty", "no text"), answers[2].text)
    record = outcomes.write(job, Work(), answers, CAPTIONS)
    assert step.find("000", "inputs", GenerationRecord) == record
    # What asks for the image in other words is known of imported captions alone.
    assert read_table(step.shard("000", "captions"), CAPTIONS).to_pylist() == [{**kept, "request": None}]
    assert rejections(tmp_path) == [
        {
            "id": "row 1",
            "stage": "captions",
            "reason": "markup",
            "detail": "**",
            "subject": "seed 1",
            "raw": "** raw \n",
        },
        {"id": "row 2", "stage": "captions", "reason": "empty", "detail": "no text", "subject": "seed 2", "raw": ""},
    ]
    assert record.counts == Counts(
        num_candidates=3,
        num_kept=1,
        rejected={"empty": 1, "markup": 1},
        num_requests=3,
        num_prompt_tokens=60,
        num_output_tokens=6,
    )
    usage = Usage(num_retries=3, seconds=0.75, prompt_tokens_squared=1400.0, output_tokens_squared=14.0)
    assert record.usage == usage
    assert record.usage.plus(record.usage) == Usage(**{name: 2 * value for name, value in usage.model_dump().items()})


def test_a_partition_with_a_row_that_got_no_answer_is_made_again(tmp_path: Path) -> None:
    step, job = step_and_job(tmp_path)
    (request,) = requests_of(1)
    outcomes = Outcomes("captions")
    outcomes.reject(request, Rejected(NOT_ANSWERED, "the server said no"), "")
    record = outcomes.write(job, Work(), [Answer("the server said no", "failed", 0, 0)], CAPTIONS)
    assert record.counts.rejected == {"not_answered": 1}
    assert step.find("000", "inputs", GenerationRecord) is None


def test_a_partition_that_keeps_nothing_is_whole_too(tmp_path: Path) -> None:
    step, job = step_and_job(tmp_path)
    record = Outcomes("captions").write(job, Work(), [], CAPTIONS)
    assert step.find("000", "inputs", GenerationRecord) == record
    assert record.counts == Counts()


def test_the_commonest_reasons_as_a_phrase() -> None:
    assert most_common({"markup": 33, "too_short": 1204}) == "1,204 too_short, 33 markup"
    assert most_common(dict.fromkeys("abcdef", 1), 2).count(",") == 1
    assert most_common({}) == ""
