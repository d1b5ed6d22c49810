"""Seeds in another language than the recipe's."""

from pathlib import Path

import pytest

from tests.stages import read_source
from unicorn_hf.core.errors import InputError
from unicorn_hf.core.languages import listed
from unicorn_hf.core.recipe import Seeds
from unicorn_hf.seeds.language import check_seed_language
from unicorn_hf.seeds.sources.file import FileSource
from unicorn_hf.seeds.step import check_sources

DATA = Path(__file__).parents[2] / "unicorn_hf/seeds/data"
SEEDS = {
    "zh": ["黑猫", "小狗", "红色的汽车", "河边的木船"],
    "ja": ["黒い猫", "公園のベンチ", "赤い車"],
    "ko": ["검은 고양이", "공원 벤치"],
    "th": ["แมวดำ", "สุนัข"],
    "ar": ["قطة سوداء", "كلب في الحديقة"],
    "hi": ["काली बिल्ली", "बगीचे में कुत्ता"],
    "ru": ["чёрный кот", "собака в саду"],
    "es": ["un gato negro en el sofá", "el perro en el jardín", "una mujer con sombrero rojo"],
    "de": ["eine schwarze Katze auf dem Sofa", "der Hund im Garten", "das Haus am Fluss"],
}


def test_each_language_is_tried() -> None:
    assert sorted([*SEEDS, "en"]) == listed()


@pytest.mark.parametrize("code", SEEDS)
def test_seeds_in_another_language_are_told_with_the_option_that_takes_them(code: str) -> None:
    with pytest.raises(InputError) as caught:
        check_seed_language("mine.txt", SEEDS[code], ["en"])
    assert caught.value.message.startswith("mine.txt: the seeds are in ")
    assert f"--language {code} " in caught.value.advice
    assert f"--set seeds.languages={code}" in caught.value.advice


@pytest.mark.parametrize("code", SEEDS)
def test_seeds_in_the_recipes_language_pass(code: str) -> None:
    check_seed_language("mine.txt", SEEDS[code], [code])
    check_seed_language("mine.txt", SEEDS[code], ["en", code])


@pytest.mark.parametrize("name", ["imagenet.txt", "flowers.txt", "pets.txt", "wordnet_plants.txt", "countries.txt"])
def test_bundled_labels_are_english_enough_and_not_chinese(name: str) -> None:
    labels = read_source(FileSource(path=f"package:{name}"))
    check_seed_language(name, labels, ["en"])
    if name != "countries.txt":
        with pytest.raises(InputError, match="the seeds are in English"):
            check_seed_language(name, labels, ["zh"])


@pytest.mark.parametrize("code", ["zh", "ja", "ko", "th", "ar", "hi", "ru"])
def test_seeds_of_two_scripts_pass_if_half_of_them_are_in_the_recipes_language(code: str) -> None:
    check_seed_language("mine.txt", [*SEEDS[code][:2], "a flag on a pole", "at home on a sofa"], ["en"])


def test_seeds_of_many_scripts_are_in_no_language() -> None:
    check_seed_language("mine.txt", [SEEDS[code][0] for code in ("ar", "hi", "ru", "th")], ["en"])


@pytest.mark.parametrize("seeds", [["sushi"], ["Katze"], ["Kyoto", "Roma"], ["seed number 1"], [""], []])
def test_what_could_be_any_language_passes(seeds: list[str]) -> None:
    check_seed_language("mine.txt", seeds, ["en"])


def test_a_recipe_that_names_the_seeds_languages_may_write_another(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("\n".join(SEEDS["de"]), encoding="utf-8")
    seeds = Seeds(sources=(FileSource(path=str(tmp_path / "mine.txt")),))
    with pytest.raises(InputError, match="in German"):
        check_sources(seeds, ["en"])
    check_sources(seeds.model_copy(update={"languages": ("de",)}), ["en"])
