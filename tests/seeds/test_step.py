"""Seeds as shards: counted, mixed, and the same for the same content."""

import tempfile
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stages import recipe_of
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.recipe import Seeds
from unicorn_hf.core.recipe_file import load_recipe
from unicorn_hf.core.schemas import SEEDS
from unicorn_hf.runtime.files import read_table
from unicorn_hf.runtime.selection import SeedShards
from unicorn_hf.seeds.sources.file import FileSource
from unicorn_hf.seeds.sources.labels import LabelSource
from unicorn_hf.seeds.step import SeedsRecord, check_sources, prepare_seeds


def seeds_of(*paths: Path, **more: Any) -> Seeds:
    return Seeds(sources=tuple(FileSource(path=str(path)) for path in paths), **more)


def prepare(
    config: Seeds, work_dir: Path, random_seed: int = 0, partition_rows: int = 16
) -> tuple[SeedShards, SeedsRecord]:
    recipe = recipe_of(Path("seeds.txt"), partition_rows=partition_rows, random_seed=random_seed)
    return prepare_seeds(recipe.model_copy(update={"seeds": config}), work_dir)


def rows(shards: SeedShards) -> list[dict[str, str]]:
    return [row for path in shards.paths for row in read_table(path, SEEDS).to_pylist()]


def texts(shards: SeedShards) -> list[str]:
    return [row["seed"] for row in rows(shards)]


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    path = tmp_path / "hundred.txt"
    path.write_text("\n".join(f"seed {number}" for number in range(100)))
    return path


def test_shards_have_the_rows_asked_for_and_the_last_one_the_rest(hundred: Path, tmp_path: Path) -> None:
    shards, record = prepare(seeds_of(hundred), tmp_path / "work", partition_rows=30)
    assert [pq.read_metadata(path).num_rows for path in shards.paths] == [30, 30, 30, 10]
    assert shards.num_seeds == record.num_seeds == 100
    assert len(set(shards.identities)) == len(shards.paths)
    assert sorted(texts(shards)) == sorted(f"seed {number}" for number in range(100))
    assert pq.read_schema(shards.paths[0]).equals(SEEDS)


def test_what_is_skipped_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("a dog\n\n  a   dog \n \u200b \na dog\n" + "x" * 21 + "\n" + "y" * 20 + "\n")
    shards, record = prepare(seeds_of(path, max_characters=20), tmp_path / "work")
    assert sorted(texts(shards)) == ["a dog", "y" * 20]
    assert record.skipped == {"blank": 2, "duplicate": 2, "too_long": 1}
    assert record.num_seeds + sum(record.skipped.values()) == 7


def test_how_files_are_read_and_what_is_left_out_is_told_without_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("id;caption\n1;a dog, asleep\n2;\n3;a dog, asleep\n")
    record = prepare(seeds_of(path), tmp_path / "work")[1]
    assert record.took == ("s.csv: separator ';', column caption, encoding UTF-8",)
    assert [(each.what, each.reason, each.num, each.example) for each in record.left_out] == [
        ("values of 'id'", "not_read", 3, "s.csv, line 2: '1'"),
        ("seeds", "blank", 1, "s.csv, line 3: ''"),
        ("seeds", "duplicate", 1, "s.csv: 'a dog, asleep'"),
    ]
    assert record.skipped == {"blank": 1, "duplicate": 1}


def test_nothing_skipped_is_nothing_counted(hundred: Path, tmp_path: Path) -> None:
    assert prepare(seeds_of(hundred), tmp_path / "work")[1].skipped == {}


def test_sources_are_mixed_and_a_seed_of_two_belongs_to_the_first(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("\n".join(f"one {number}" for number in range(200)) + "\nshared\n")
    (tmp_path / "two.tsv").write_text(
        "id\tcaption\n" + "".join(f"1\ttwo {number}\n" for number in range(100)) + "1\tshared\n"
    )
    config = Seeds(
        sources=(
            FileSource(path=str(tmp_path / "one.txt"), license="mit"),
            FileSource(path=str(tmp_path / "two.tsv"), column="caption", name="Two", domain="second"),
        )
    )
    shards, record = prepare(config, tmp_path / "work", partition_rows=76)
    assert [(s.name, s.domain, s.license, s.num_seeds) for s in record.sources] == [
        ("one.txt", "open-domain", "mit", 201),
        ("Two", "second", "unknown", 100),
    ]
    assert record.skipped == {"duplicate": 1}
    by_seed = {row["seed"]: row for row in rows(shards)}
    assert by_seed["shared"] == {"seed": "shared", "source": "one.txt", "domain": "open-domain"}
    assert by_seed["two 7"] == {"seed": "two 7", "source": "Two", "domain": "second"}
    for path in shards.paths:
        share = read_table(path, SEEDS).column("source").to_pylist().count("Two") / pq.read_metadata(path).num_rows
        assert 0.15 < share < 0.55, "each shard has about the mixture of the whole"


def test_sources_of_one_name_are_counted_apart(tmp_path: Path) -> None:
    for folder, number in (("a", 3), ("b", 5)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "s.txt").write_text("\n".join(f"{folder} {index}" for index in range(number)))
    _, record = prepare(seeds_of(tmp_path / "a/s.txt", tmp_path / "b/s.txt"), tmp_path / "work")
    assert [(source.name, source.num_seeds) for source in record.sources] == [("s.txt", 3), ("s.txt (2)", 5)]


def test_labels_become_seeds_of_their_domain(tmp_path: Path) -> None:
    source = LabelSource(
        kind="labels", path="package:pets.txt", domain="pets", templates=("a {label}", "two {label}s"), num_templates=2
    )
    shards, record = prepare(Seeds(sources=(source,)), tmp_path / "work")
    assert record.num_seeds == 74
    assert {row["domain"] for row in rows(shards)} == {"pets"}
    assert {"a Beagle", "two Beagles"} < set(texts(shards))


def test_a_limit_takes_the_first_of_a_source(hundred: Path, tmp_path: Path) -> None:
    config = Seeds(sources=(FileSource(path=str(hundred), limit=7),))
    assert sorted(texts(prepare(config, tmp_path / "work")[0])) == [f"seed {number}" for number in range(7)]


def test_the_order_depends_on_text_and_random_seed_alone(hundred: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.csv"
    turned.write_text("caption\n" + "\n".join(reversed(hundred.read_text().split("\n"))))
    order = texts(prepare(seeds_of(hundred), tmp_path / "a")[0])
    assert order != sorted(order)
    assert order != hundred.read_text().split("\n")
    assert texts(prepare(seeds_of(turned), tmp_path / "b", partition_rows=33)[0]) == order
    assert texts(prepare(seeds_of(hundred), tmp_path / "c", random_seed=1)[0]) != order
    half = tmp_path / "half.txt"
    half.write_text("\n".join(hundred.read_text().split("\n")[::2]))
    kept = set(half.read_text().split("\n"))
    assert texts(prepare(seeds_of(half), tmp_path / "d")[0]) == [seed for seed in order if seed in kept]


def test_the_same_content_finds_the_same_shards(hundred: Path, tmp_path: Path) -> None:
    shards, record = prepare(seeds_of(hundred), tmp_path / "work")
    written = [path.stat().st_mtime_ns for path in shards.paths]
    again, same = prepare(seeds_of(hundred), tmp_path / "work")
    assert (again, same) == (shards, record)
    assert [path.stat().st_mtime_ns for path in again.paths] == written
    elsewhere, _ = prepare(seeds_of(hundred), tmp_path / "other")
    assert elsewhere.identities == shards.identities


def test_changed_content_is_found_and_read_again(hundred: Path, tmp_path: Path) -> None:
    before, _ = prepare(seeds_of(hundred), tmp_path / "work")
    hundred.write_text(hundred.read_text().replace("seed 99", "seed ninety-nine"))
    after, record = prepare(seeds_of(hundred), tmp_path / "work")
    assert "seed ninety-nine" in texts(after)
    assert "seed 99" not in texts(after)
    assert record.num_seeds == 100
    assert set(after.identities) != set(before.identities)


def test_fewer_seeds_than_before_leave_no_shard_of_the_earlier_ones_in_the_set(hundred: Path, tmp_path: Path) -> None:
    prepare(seeds_of(hundred), tmp_path / "work")
    hundred.write_text("a dog\na cat\n")
    shards, _ = prepare(seeds_of(hundred), tmp_path / "work")
    assert sorted(texts(shards)) == ["a cat", "a dog"]


def test_a_damaged_shard_is_made_again(hundred: Path, tmp_path: Path) -> None:
    shards, _ = prepare(seeds_of(hundred), tmp_path / "work")
    order = texts(shards)
    shards.paths[2].write_bytes(b"cut")
    shards.paths[3].unlink()
    assert texts(prepare(seeds_of(hundred), tmp_path / "work")[0]) == order


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the files are empty"),
        (b"\n \n\t\n", "3 blank"),
        (b"x" * 50, "1 too_long"),
    ],
)
def test_no_seed_at_all_is_an_input_error_that_says_why(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        prepare(seeds_of(tmp_path / "s.txt", max_characters=20), tmp_path / "work")
    assert caught.value.message == f"no seeds in {tmp_path}/s.txt: {message}"


@pytest.mark.parametrize("content", [b"a dog\ncaf\xe9\n", b""])
def test_a_source_that_fails_leaves_nothing_half_written(content: bytes, hundred: Path, tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(content)
    config = seeds_of(hundred, tmp_path / "s.txt") if content else seeds_of(tmp_path / "s.txt")
    with pytest.raises(InputError):
        prepare(config, tmp_path / "work")
    assert not [path for path in (tmp_path / "work").rglob("*") if path.is_file()]


def test_a_missing_file_is_named_before_anything_is_read(hundred: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no seed file .*none\.txt"):
        prepare(seeds_of(hundred, tmp_path / "none.txt"), tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_sources_are_checked_by_their_first_seed(hundred: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "header.csv").write_text("caption\n")
    check_sources(seeds_of(hundred), ["en"])
    for name, message in (
        ("none.txt", "no seed file"),
        ("empty.txt", "no seeds in .*: it is empty"),
        ("header.csv", "no seeds in .*: it is empty"),
        ("none.doc", "no seed file"),
    ):
        with pytest.raises(InputError, match=message):
            check_sources(seeds_of(hundred, tmp_path / name), ["en"])


def test_seeds_too_short_or_in_another_language_are_counted(tmp_path: Path) -> None:
    german = "Eine Katze sitzt auf dem Sofa und schaut aus dem Fenster"
    (tmp_path / "s.txt").write_text(f"a cat\n{german}\na\nab\n猫坐在垫子上\ntwo dogs\n")
    _, record = prepare(seeds_of(tmp_path / "s.txt", languages=["en"], min_characters=3), tmp_path / "work")
    assert record.skipped == {"language": 2, "too_short": 2}
    shards, _ = prepare(seeds_of(tmp_path / "s.txt", languages=["de", "zh", "en"]), tmp_path / "work")
    assert german in texts(shards)
    assert shards.num_seeds == 6


def weighted(folder: Path, sizes: dict[str, int], weights: dict[str, float | None]) -> Seeds:
    sources = []
    for name, size in sizes.items():
        (folder / f"{name}.txt").write_text("\n".join(f"{name} {number}" for number in range(size)))
        sources.append(FileSource(path=str(folder / f"{name}.txt"), weight=weights[name]))
    return Seeds(sources=tuple(sources))


def test_weights_keep_sources_in_proportion_and_use_all_that_they_can(tmp_path: Path) -> None:
    config = weighted(tmp_path, {"one": 300, "two": 100, "three": 40}, {"one": 3, "two": 2, "three": None})
    shards, record = prepare(config, tmp_path / "work")
    assert [source.num_seeds for source in record.sources] == [150, 100, 40]
    assert record.skipped == {"beyond_weight": 150}
    assert shards.num_seeds == 290
    whole = texts(prepare(weighted(tmp_path, {"one": 300}, {"one": None}), tmp_path / "work")[0])
    of_one = [seed for seed in texts(shards) if seed.startswith("one")]
    assert of_one == whole[:150], "the first in the order that holds without weights"


@given(st.lists(st.integers(1, 60), min_size=1, max_size=3), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_weights_hold_to_a_seed(sizes: list[int], weights: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"s{at}" for at in range(len(sizes))]
        config = weighted(folder, dict(zip(names, sizes, strict=True)), dict(zip(names, weights, strict=False)))
        _, record = prepare(config, folder / "work")
        given_by = [source.num_seeds for source in record.sources]
        least = min(size / weight for size, weight in zip(sizes, weights, strict=False))
        assert given_by == [round(least * weight) for _, weight in zip(sizes, weights, strict=False)]
        assert any(number == size for number, size in zip(given_by, sizes, strict=True))


def test_sources_of_benchmarks_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "open.txt").write_text("a dog\n")
    (tmp_path / "labels.txt").write_text("pug\n")
    labels = LabelSource(
        kind="labels", path=str(tmp_path / "labels.txt"), templates=("a {label}",), domain="pets", benchmark="Pets"
    )
    sources = (FileSource(path=str(tmp_path / "open.txt")), labels)
    shards, record = prepare(Seeds(sources=sources), tmp_path / "work")
    assert sorted(texts(shards)) == ["a dog", "a pug"]
    assert [source.benchmark for source in record.sources] == [None, "Pets"]
    shards, record = prepare(Seeds(sources=sources, exclude_benchmarks=True), tmp_path / "work")
    assert texts(shards) == ["a dog"]
    assert [source.name for source in record.sources] == ["open.txt"]
    with pytest.raises(ValueError, match="excludes them all"):
        Seeds(sources=(labels,), exclude_benchmarks=True)


def _peak(folder: Path, number: int) -> int:
    """Bytes that were in use at once, of so many seeds."""
    path = folder / f"{number}.txt"
    path.write_text(
        "".join(f"seed {line} of a file of many lines, with the number {line * 7}\n" for line in range(number))
    )
    tracemalloc.start()
    try:
        prepare(seeds_of(path), folder / "work", partition_rows=512)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    # In a process of its own: other tests' threads would be counted too.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        # The first pays for imports; the third has three times the lines of the second.
        _, small, large = (process.submit(_peak, tmp_path, number).result() for number in (100, 8_000, 24_000))
    assert large < 1.5 * small


def test_the_bundled_mixture_is_that_of_the_paper() -> None:
    seeds = load_recipe("unicorn-1.2m").seeds
    labels = [source for source in seeds.sources if isinstance(source, LabelSource)]
    assert all(len(source.templates) == source.num_templates == 10 for source in labels)
    num_labels = sum(len(source.file.read_text().splitlines()) for source in labels)
    # Food-101, Stanford Cars and SUN397 have 101, 196 and 397 classes.
    assert 107_000 <= 10 * (num_labels + 101 + 196 + 397) <= 108_000
    assert {source.benchmark for source in seeds.sources} > {"ImageNet-1k", "Food-101", None}
    assert all(source.license != "unknown" for source in labels)
