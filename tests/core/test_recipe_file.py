"""Recipes as files: what is wrong is said with its line and the nearest valid name."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf import InputError, load_recipe
from unicorn_hf.core.encoder import parse_encoder
from unicorn_hf.core.recipe import Recipe
from unicorn_hf.core.recipe_file import bundled_names, dump_recipe, read_document, validate
from unicorn_hf.encoders import Llm2Clip

RECIPE = """\
name: mine
seeds:
  sources:
    - kind: file
      path: seeds.txt
engine:
  kind: echo
captions:
  num: 10
instructions:
  num: 5
representations:
  encoder: hashing:8
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problem(folder: Path, text: str) -> str:
    """The message that the recipe gives, without the path of its folder."""
    with pytest.raises(InputError) as caught:
        load_recipe(write(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_bundled_recipes_load_by_name_and_the_demo_is_the_default() -> None:
    assert set(bundled_names()) >= {"demo", "unicorn-1.2m"}
    for name in bundled_names():
        assert load_recipe(name).name == name
    assert load_recipe() == load_recipe("demo")


def test_the_papers_recipe_has_the_papers_figures() -> None:
    recipe = load_recipe("unicorn-1.2m")
    assert recipe.captions.num == 1_243_195
    assert recipe.instructions.num == 471_000
    assert recipe.engine.model == "Qwen/Qwen2.5-72B-Instruct"  # type: ignore[union-attr]
    assert isinstance(parse_encoder(recipe.representations.encoder), Llm2Clip)
    assert recipe.representations.transfer == "mean_shift"
    weights = {name: task.weight for name, task in recipe.instructions.tasks.by_name().items()}
    assert weights == {"multiple_choice": 171, "question_answering": 199, "complex_reasoning": 100}


@pytest.mark.parametrize("name", bundled_names())
def test_a_dumped_recipe_loads_as_itself(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert load_recipe(write(tmp_path, dump_recipe(recipe))) == recipe


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), st.floats(0, 1))
def test_what_is_dumped_is_what_was_there(text: str, number: int, fraction: float) -> None:
    data = yaml.safe_load(RECIPE) | {"note": text, "random_seed": number}
    data["captions"]["max_rejected"] = fraction
    recipe = Recipe.model_validate(data)
    assert Recipe.model_validate(yaml.safe_load(dump_recipe(recipe))) == recipe


def test_seed_files_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipes").mkdir()
    text = RECIPE.replace("path: seeds.txt", "path: ../seeds.txt")
    path = write(tmp_path / "recipes", text)
    monkeypatch.chdir(tmp_path)
    for name in (path, str(path), "recipes/mine.yaml"):
        (source,) = load_recipe(name).seeds.sources
        assert Path(source.path).is_absolute()
        assert Path(source.path).resolve() == tmp_path / "seeds.txt"


def test_prompts_and_model_folders_are_relative_to_the_recipe(tmp_path: Path) -> None:
    text = RECIPE.replace("kind: echo", "kind: vllm\n  model: ../models/mine")
    text = text.replace("num: 10", "num: 10\n  prompt: prompts/mine.yaml")
    tasks = "tasks:\n    multiple_choice: {weight: 1, pairs: {min: 1, max: 2}, prompt: mine.yml}"
    recipe = load_recipe(write(tmp_path, text.replace("num: 5", f"num: 5\n  {tasks}")))
    assert recipe.engine.model == f"{tmp_path}/../models/mine"  # type: ignore[union-attr]
    assert recipe.captions.prompt == f"{tmp_path}/prompts/mine.yaml"
    assert recipe.instructions.tasks.multiple_choice.prompt == f"{tmp_path}/mine.yml"
    assert recipe.instructions.tasks.question_answering.prompt == "question_answering-v2"


@pytest.mark.parametrize("model", ["org/model", "demo:smollm2-135m-instruct", "/models/mine", "~/models/mine"])
def test_names_and_whole_paths_of_models_stay_as_they_are(model: str, tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, RECIPE.replace("kind: echo", f"kind: vllm\n  model: {model}")))
    assert recipe.engine.model == model  # type: ignore[union-attr]


def test_package_files_and_data_sets_are_not_relative_to_the_recipe(tmp_path: Path) -> None:
    text = RECIPE.replace(
        "path: seeds.txt", "path: package:pets.txt\n    - {kind: dataset, path: org/captions, column: text}"
    )
    sources = load_recipe(write(tmp_path, text)).seeds.sources
    assert [source.path for source in sources] == ["package:pets.txt", "org/captions"]


def test_the_file_is_named_where_it_is_wrong_and_the_options_where_they_are(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE.replace("num: 5", "num: five").replace("hashing:8", "[]"))
    with pytest.raises(InputError) as caught:
        load_recipe(path, {"captions.num": 0, "instructions.num": 4})
    places = [line.split(": ")[0].replace(f"{tmp_path}/", "") for line in caught.value.message.splitlines()]
    assert places == ["mine.yaml with the options given", "mine.yaml:13"]


def test_a_file_of_a_bundled_recipes_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "demo").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    assert load_recipe("demo").name == "demo"
    assert load_recipe("./demo").name == "mine"


def test_overrides_change_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE)
    changed = load_recipe(path, {"captions.num": 3000, "captions.sampling.top_p": 0.5, "cluster.workers": 2})
    assert (changed.captions.num, changed.captions.sampling.top_p, changed.cluster.workers) == (3000, 0.5, 2)
    data, was = changed.model_dump(), load_recipe(path).model_dump()
    assert {key for key in was if data[key] != was[key]} == {"captions", "cluster"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"captions.num": 0}, "mine.yaml with the options given: captions.num: write a whole number above 0 (got 0)"),
        ({"captions.num": 4}, "more instructions (5) than captions (4)"),
        ({"captions.nmu": 4}, "unknown key captions.nmu; did you mean num?"),
        ({"engine": {"kind": "ecko"}}, "engine: unknown kind 'ecko'; did you mean echo?"),
        ({"representations.transfer": "mean-shift"}, "(got 'mean-shift'); did you mean mean_shift?"),
        ({"representations.dtype": "double"}, "write float16 or float32 (got 'double')"),
        ({"name.first": 4}, "the recipe's key name is not a mapping and has no key first"),
    ],
)
def test_overrides_that_do_not_hold_say_so(tmp_path: Path, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_recipe(write(tmp_path, RECIPE), overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  num: 10", "  num: 10\n  samplng: {}", "mine.yaml:10: unknown key captions.samplng; did you mean sampling?"),
        ("name: mine", "name: mine\ncaptoins: {}", "mine.yaml:2: unknown key captoins; did you mean captions?"),
        ("  num: 5", "  num: 5\n  zzz: 1", "mine.yaml:12: unknown key instructions.zzz; the keys here are num, att"),
        (
            "path: seeds.txt",
            "path: seeds.txt\n      colum: x",
            "mine.yaml:6: unknown key seeds.sources.0.colum; did you mean column?",
        ),
        (
            "  num: 10",
            "  num: 10\n  filters:\n    min_word: 3",
            "mine.yaml:11: unknown key captions.filters.min_word; did you mean min_words?",
        ),
        (
            "  num: 5",
            "  num: 5\n  tasks:\n    multiple_choise: {}",
            "mine.yaml:13: unknown key instructions.tasks.multiple_choise; did you mean multiple_choice?",
        ),
        ("num: 10", "num: ten", "mine.yaml:9: captions.num: write a whole number above 0 (got 'ten')"),
        ("num: 10", "num: 1.5", "mine.yaml:9: captions.num: write a whole number above 0 (got 1.5)"),
        ("num: 10", "num: true", "mine.yaml:9: captions.num: write a whole number above 0 (got True)"),
        ("num: 10", "num: -1", "mine.yaml:9: captions.num: write a whole number above 0 (got -1)"),
        ("num: 10", "num: 0", "mine.yaml:9: captions.num: write a whole number above 0 (got 0)"),
        ("num: 5", "num: -7", "mine.yaml:11: instructions.num: write a whole number of at least 0 (got -7)"),
        ("  num: 10", "  prompt: p", "mine.yaml:8: captions.num: this key is missing: write a whole number above 0"),
        ("captions:\n  num: 10\n", "", "mine.yaml: captions: this key is missing: write a mapping with the keys num, "),
        ("captions:\n  num: 10", "captions: [1]", "mine.yaml:8: captions: write a mapping with the keys num, "),
        ("captions:\n  num: 10", "captions:", "mine.yaml:8: captions: write a mapping with the keys num, "),
        ("num: 5", "num: 11", "mine.yaml: more instructions (11) than captions (10): each conversation needs"),
        ("kind: file", "kind: fiel", "mine.yaml:4: seeds.sources.0: unknown kind 'fiel'; did you mean file?"),
        (
            "kind: file",
            "kind: web",
            "mine.yaml:4: seeds.sources.0: unknown kind 'web'; the kinds here are file, labels, dataset",
        ),
        ("kind: file\n      path", "path", "mine.yaml:4: seeds.sources.0: the key kind is missing"),
        ("kind: echo", "kind: ecko", "mine.yaml:7: engine: unknown kind 'ecko'; did you mean echo?"),
        (
            "    - kind: file\n      path: seeds.txt",
            "    []",
            "mine.yaml: seeds.sources: give at least one item",
        ),
        (
            "path: seeds.txt",
            "path: 3",
            "mine.yaml:5: seeds.sources.0.path: write a text (got 3); put it in quotes",
        ),
        (
            "hashing:8",
            "hashing:8\n  transfer: mean_shfit",
            "mine.yaml:14: representations.transfer: write none, mean_shift,",
        ),
        (
            "name: mine",
            "name: mine\nlanguage: [no]",
            "mine.yaml:2: language.0: write a text (got False); put it in q",
        ),
        ("name: mine", "name: mine\n1: 2", "mine.yaml:2: 1: a key must be a text: put it in quotes"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert RECIPE.count(old) == 1
    told = problem(tmp_path, RECIPE.replace(old, new))
    assert told.startswith(message)
    assert "\n" not in told, "one problem, one message"


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    told = problem(tmp_path, RECIPE.replace("num: 10", "num: ten").replace("echo", "ecko"))
    assert [line.split(" ")[0] for line in told.splitlines()] == ["mine.yaml:7:", "mine.yaml:9:"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECIPE.replace("num: 10", "num: [10"), "mine.yaml:10: not valid YAML: expected ',' or ']'"),
        (RECIPE.replace("  num: 10", "\tnum: 10"), "mine.yaml:9: not valid YAML: found character '\\t'"),
        (RECIPE + "name: other\n", "mine.yaml:14: not valid YAML: duplicate key name, also in line 1"),
        (RECIPE + "note: \x01\n", "mine.yaml: not valid YAML: unacceptable character"),
        (RECIPE + "note: !!python/name:os.system x\n", "mine.yaml:14: not valid YAML: could not determine a construc"),
        (RECIPE + "note: &a [*a]\n", "mine.yaml: not valid YAML: nested too deeply, or recursive"),
        ("", "mine.yaml: a recipe is a mapping with the keys name, title, note"),
        ("# nothing\n", "mine.yaml: a recipe is a mapping with the keys name"),
        ("- a\n- b\n", "mine.yaml: a recipe is a mapping with the keys name"),
        ("a text\n", "mine.yaml: a recipe is a mapping with the keys name"),
    ],
)
def test_what_is_not_a_recipe_says_so(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text).startswith(message)


def test_a_recipe_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(RECIPE.replace("mine", "mïne").encode("latin-1"))
    with pytest.raises(InputError, match="not UTF-8"):
        load_recipe(tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("name", "message", "advice"),
    [
        ("dmo", "unknown recipe 'dmo'", "Did you mean demo? Bundled recipes: demo, parti, unicorn-1.2m"),
        ("unicorn-12m", "unknown recipe 'unicorn-12m'", "Did you mean unicorn-1.2m?"),
        ("zzz", "unknown recipe 'zzz'", "Bundled recipes: demo, parti, unicorn-1.2m; or give"),
        ("dmeo.yaml", "no recipe file dmeo.yaml", "Did you mean demo?"),
        ("none/mine.yml", "no recipe file none/mine.yml", "Bundled recipes: demo, parti, unicorn-1.2m"),
        ("", "unknown recipe ''", "Bundled recipes:"),
        ("here", "unknown recipe 'here'", "To build from the set in this folder, use --from here."),
        ("here/kitchen.yml", "no recipe file here/kitchen.yml", "Did you mean here/kitchen.yaml?"),
    ],
)
def test_an_unknown_recipe_names_the_nearest(
    name: str, message: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/kitchen.yaml").touch()
    with pytest.raises(InputError) as caught:
        load_recipe(name)
    assert caught.value.message == message
    assert caught.value.advice.startswith(advice)


def test_a_document_is_read_before_it_is_validated(tmp_path: Path) -> None:
    document = read_document(write(tmp_path, RECIPE.replace("num: 10", "num: ten")))
    assert document.data["captions"]["num"] == "ten"
    assert document.lines["captions", "num"] == 9
    with pytest.raises(InputError):
        validate(document)
