"""`load_dataset` as users call it, in processes and environments of their own: three ways of loading, three versions.

The versions of `datasets` besides the installed one get environments made by uv: a second or two each from its cache.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.builders.originals import release, zipped
from tests.builds import SHARED, unicorn, write_seeds
from tests.hub.fixtures import HubClient
from tests.hub.server import Fault, HubServer
from tests.warm import ROOT

pytestmark = pytest.mark.slow

VERSIONS = ("installed", "4.8", "3.6")
LIGHT_DEPENDENCIES = ("pydantic", "pyyaml")
"""What the plugin and the builder import of ours besides what `datasets` brings."""
ORIGINAL = "Yu2020/Unicorn"
OURS = "unicorn-lab/unicorn"
NUM_PRETRAIN, NUM_INSTRUCTION = 60, 24
NUM_ORIGINAL = 10_000
ORIGINAL_PEAK_MB = 500
TIMEOUT_S = 300

START = """
import json, logging, os, re, sys, warnings
from pathlib import Path
def peak_mb():
    # Not getrusage: its peak counts what the process that started this one had.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
def error_of(function, *args, **options):
    try:
        return {"value": str(function(*args, **options))}
    except Exception as error:
        return {"type": type(error).__name__, "message": str(error)}
import datasets
from datasets import load_dataset
datasets.disable_progress_bars()
datasets.config.USE_PARQUET_EXPORT = False  # it would ask a server that these tests have not got
"""
PLUGIN = START + "import unicorn_hf.datasets_plugin\n"


@dataclass(frozen=True)
class Outcome:
    value: Any
    stderr: str


@dataclass(frozen=True)
class Loader:
    """Runs Python with some version of `datasets` as a user of the test's Hub, in an empty folder of its own."""

    python: str
    client: HubClient

    @property
    def hub(self) -> HubServer:
        return self.client.hub

    @property
    def folder(self) -> Path:
        return self.client.home

    def run(self, code: str, *args: str, **env: str | None) -> Outcome:
        """What the last line that `code` prints says, as JSON."""
        done = warm.run(
            ["-c", code, *args],
            cwd=self.folder,
            environment=self.client.environment(env),
            python=self.python,
            imports="datasets",
        )
        assert done.returncode == 0, done.stderr
        return Outcome(json.loads(done.stdout.splitlines()[-1]), done.stderr)


@pytest.fixture(scope="session", params=VERSIONS)
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has this version of `datasets`."""
    if request.param == "installed":
        return sys.executable
    return _environment(tmp_path_factory.mktemp(f"datasets-{request.param}"), request.param)


def _environment(folder: Path, version: str) -> str:
    uv, python = Path(sys.executable).with_name("uv"), folder / "bin" / "python"
    commands = (
        ["venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
        ["pip", "install", "--quiet", "--python", str(python), f"datasets=={version}.*", *LIGHT_DEPENDENCIES],
    )
    for command in commands:
        done = subprocess.run([uv, *command], capture_output=True, text=True, timeout=TIMEOUT_S)
        if done.returncode:
            pytest.skip(f"datasets {version} cannot be had here: {done.stderr[-300:]}")
    return str(python)


@pytest.fixture
def loader(python: str, hub_client: HubClient) -> Loader:
    return Loader(python, hub_client)


@pytest.fixture
def installed(hub_client: HubClient) -> Loader:
    return Loader(sys.executable, hub_client)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built folder, by the command, with several shards."""
    folder = tmp_path_factory.mktemp("built")
    arguments = ["--seeds", write_seeds(folder / "seeds.txt"), "--captions", NUM_PRETRAIN]
    arguments += ["--instructions", NUM_INSTRUCTION, "--engine", "echo", "--encoder", "hashing:8"]
    done = unicorn("build", *arguments, *SHARED, "--out", folder / "unicorn", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "unicorn"


@pytest.fixture
def here(loader: Loader, built: Path) -> Loader:
    """The user has the build in the working directory."""
    (loader.folder / "unicorn").symlink_to(built)
    return loader


def published(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


BUILT = """
path, options = json.loads(sys.argv[1])
told = {}
for config in ("pretrain", "instruction"):
    rows = load_dataset(path, config, split="train", **options)
    streamed = list(load_dataset(path, config, split="train", streaming=True, **options))
    narrow = load_dataset(path, config, split="train", streaming=True, columns=["id", "caption"], **options)
    told[config] = {
        "num_rows": rows.num_rows, "columns": rows.column_names, "first": rows[0],
        "same_streamed": streamed == rows.to_list(), "narrow": sorted(next(iter(narrow))),
        "vector": type(rows.with_format("numpy")[0]["image_embedding"]).__name__,
    }
told["parts"] = load_dataset(path, "pretrain", split="train[:10]", num_proc=2, **options).num_rows
told["splits"] = list(load_dataset(path, "instruction", **options))
print(json.dumps(told))
"""


def check_built(told: dict[str, Any]) -> None:
    for config, num_rows in (("pretrain", NUM_PRETRAIN), ("instruction", NUM_INSTRUCTION)):
        assert told[config]["num_rows"] == num_rows
        assert told[config]["columns"][:4] == ["id", "caption", "conversations", "image_embedding"]
        assert len(told[config]["first"]["image_embedding"]) == 8
        assert told[config]["same_streamed"]
        assert told[config]["narrow"] == ["caption", "id"]
        assert told[config]["vector"] == "ndarray"
    assert told["parts"] == 10
    assert told["splits"] == ["train"]


def test_a_built_folder_needs_nothing_of_ours(here: Loader) -> None:
    outcome = here.run(START + BUILT, json.dumps(["unicorn", {}]), PYTHONPATH=None)
    check_built(outcome.value)


def test_a_repository_needs_nothing_of_ours(loader: Loader, built: Path) -> None:
    repository = loader.hub.add_repository(OURS, published(built))
    first = repository.head.oid
    repository.commit("Take all away", {"README.md": repository.head.files["README.md"]})
    outcome = loader.run(START + BUILT, json.dumps([OURS, {"revision": first}]), PYTHONPATH=None)
    check_built(outcome.value)


COUNTED = """
path, options = json.loads(sys.argv[1])
told = []
for config in ("pretrain", "instruction"):
    told.append(load_dataset(path, config, split="train", **options).num_rows)
    told.append(sum(1 for _ in load_dataset(path, config, split="train", streaming=True, **options)))
print(json.dumps(told))
"""
"""For whether a name leads to the set: whether its rows are what they should be is tested above."""
COUNTS = [NUM_PRETRAIN, NUM_PRETRAIN, NUM_INSTRUCTION, NUM_INSTRUCTION]


def test_the_bare_name_is_the_registered_repository(loader: Loader, built: Path) -> None:
    loader.hub.add_repository(OURS, published(built))
    code = PLUGIN + f"import unicorn_hf\nunicorn_hf.register({OURS!r})\n" + COUNTED
    assert loader.run(code, json.dumps(["unicorn", {}])).value == COUNTS


def test_the_bare_name_is_the_folder_given(loader: Loader, built: Path) -> None:
    outcome = loader.run(PLUGIN + COUNTED, json.dumps(["unicorn", {"data_dir": str(built)}]))
    assert outcome.value == COUNTS
    assert loader.hub.seen == []


def test_a_local_folder_wins(here: Loader) -> None:
    here.hub.add_repository(ORIGINAL, release(3, 3))
    outcome = here.run(PLUGIN + COUNTED, json.dumps(["unicorn", {}]))
    assert outcome.value == COUNTS
    assert here.hub.seen == []


RELEASE = """
before = peak_mb()
told = {}
for config in ("pretrain", "instruction"):
    rows = load_dataset("unicorn", config, split="train")
    streamed = load_dataset("unicorn", config, split="train", streaming=True)
    told[config] = {
        "num_rows": rows.num_rows, "columns": rows.column_names, "ids": rows[:3]["id"], "row": rows[3],
        "same_streamed": all(a == b for a, b in zip(rows, streamed)),
    }
told["peak_mb"] = peak_mb() - before
told["options"] = load_dataset("unicorn", split="train[5:10]", columns=["caption"], num_proc=2).shape
told["configs"] = datasets.get_dataset_config_names("unicorn")
told["splits"] = datasets.get_dataset_split_names("unicorn", "instruction")
print(json.dumps(told))
"""


def test_the_original_release_by_the_bare_name(loader: Loader) -> None:
    """10,000 and 4,000 rows, whole and streamed, in one process: its peak less what importing datasets takes."""
    loader.hub.add_repository(ORIGINAL, release(NUM_ORIGINAL, 4_000))
    told = loader.run(PLUGIN + RELEASE).value
    columns = ["id", "caption", "conversations", "seed", "domain"]
    assert told["pretrain"]["columns"] == columns
    assert told["instruction"]["columns"] == [*columns, "task"]
    assert (told["pretrain"]["num_rows"], told["instruction"]["num_rows"]) == (NUM_ORIGINAL, 4_000)
    for config in ("pretrain", "instruction"):
        assert told[config]["ids"] == ["coco_0", "1", "coco_2"]
        assert told[config]["row"]["conversations"][0] == {"from": "human", "value": "<image>\nDescribe it – briefly."}
        assert told[config]["row"]["seed"] is None
        assert told[config]["same_streamed"]
    assert told["options"] == [5, 1]
    assert told["configs"] == ["pretrain", "instruction"]
    assert told["splits"] == ["train"]
    assert told["peak_mb"] < ORIGINAL_PEAK_MB


def test_the_release_at_a_revision_and_after_a_change(installed: Loader) -> None:
    repository = installed.hub.add_repository(ORIGINAL, release(3, 2))
    first = repository.head.oid
    count = (
        PLUGIN + "print(load_dataset('unicorn', 'pretrain', split='train', revision=json.loads(sys.argv[1])).num_rows)"
    )
    assert installed.run(count, "null").value == 3
    installed.hub.repositories[ORIGINAL].commits += installed.hub.add_repository("x/y", release(5, 2)).commits
    installed.hub.repositories[ORIGINAL] = repository
    assert installed.run(count, "null").value == 5
    assert installed.run(count, json.dumps(first)).value == 3
    code = PLUGIN + "print(json.dumps(error_of(load_dataset, 'unicorn', revision='nowhere')))"
    assert installed.run(code).value["message"] == f"{ORIGINAL} on the Hub has no revision nowhere"


def test_the_documented_way_to_add_embeddings(installed: Loader) -> None:
    installed.hub.add_repository(ORIGINAL, release(1_500, 2))
    code = (ROOT / "docs" / "loading.md").read_text().rpartition("```python\n")[2].partition("```")[0]
    assert "open_clip:ViT-L-14/datacomp_xl_s13b_b90k" in code
    code = code.replace("open_clip:ViT-L-14/datacomp_xl_s13b_b90k", "hashing:16")
    code += """
import json
found = np.array(rows["image_embedding"][:])
deviations = np.abs(np.linalg.norm(found, axis=1) - 1)
print(json.dumps([found.shape, float(deviations.max()), rows.column_names]))
"""
    shape, deviation, columns = installed.run(code).value
    assert shape == [1_500, 16]
    assert deviation < 1e-5
    assert columns[-1] == "image_embedding"


def test_downloaded_files_of_the_release_are_a_folder_too(installed: Loader) -> None:
    for name, content in release(4, 2).items():
        (installed.folder / name).write_bytes(content)
    code = PLUGIN + "print(load_dataset('unicorn', 'instruction', split='train', data_dir='.').num_rows)"
    assert installed.run(code).value == 2
    assert installed.hub.seen == []


@pytest.mark.parametrize(
    "order",
    [
        "import unicorn_hf.datasets_plugin\nfrom datasets import load_dataset",
        "from datasets import load_dataset\nimport unicorn_hf.datasets_plugin",
        "from datasets import load_dataset\nimport unicorn_hf\nunicorn_hf.register('Yu2020/Unicorn')",
    ],
)
def test_before_or_after_datasets(installed: Loader, order: str) -> None:
    installed.hub.add_repository(ORIGINAL, release(3, 2))
    assert installed.run(order + "\nprint(load_dataset('unicorn', split='train').num_rows)").value == 3


NOTHING = PLUGIN + "print(json.dumps([error_of(load_dataset, 'unicorn'), error_of(load_dataset, 'x/other')]))"


def test_nothing_anywhere_is_one_clear_error(loader: Loader) -> None:
    """The working directory holds data, which nobody looks at."""
    for name in ("stray.json", "stray.csv", "unicorn.py"):
        (loader.folder / name).write_text('{"a": 1}\n')
    error, other = loader.run(NOTHING).value
    assert error["type"] == "InputError"
    assert error["message"].startswith(f'the Hub has no data set {ORIGINAL}, or you have no access to it\n"unicorn" ')
    assert 'data_dir="FOLDER"' in error["message"]
    assert "doesn't exist on the Hub" in other["message"]  # other names are as ever


WRONG_CALLS = {
    "load_dataset, 'unicorn', data_dir='absent'": "is not a folder",
    "load_dataset, 'unicorn', data_files='x.json'": "takes no data_files=",
    "load_dataset, 'unicorn', 'no-config'": "Available: ['pretrain', 'instruction']",
    "unicorn_hf.datasets_plugin.register, 'unicorn'": "is not the name of a repository",
}


def test_wrong_calls(installed: Loader) -> None:
    installed.hub.add_repository(ORIGINAL, release(3, 2))
    calls = ", ".join(f"error_of({call})" for call in WRONG_CALLS)
    errors = installed.run(PLUGIN + f"print(json.dumps([{calls}]))").value
    for error, (call, said) in zip(errors, WRONG_CALLS.items(), strict=True):
        assert said in error["message"], call


def test_no_stale_copy_is_passed_off_as_new(installed: Loader, built: Path) -> None:
    """What was loaded before lies in the cache; a Hub that fails makes an error, offline mode the cached copy."""
    installed.hub.add_repository(ORIGINAL, release(3, 2))
    installed.hub.add_repository(OURS, published(built))
    load = "load_dataset('unicorn', 'instruction', split='train').num_rows"
    ours = f"unicorn_hf.datasets_plugin.register({OURS!r})\n"
    for prefix, num_rows in (("", 2), (ours, NUM_INSTRUCTION)):
        code = PLUGIN + prefix + f"print(json.dumps(error_of(lambda: {load})))"
        assert installed.run(code).value == {"value": str(num_rows)}
        installed.hub.faults = [Fault("GET", "/api/datasets/", status=500, times=1e9)]
        error = installed.run(code).value
        assert error["type"] == "RunError"
        assert "the Hub fails to answer (500" in error["message"]
        installed.hub.faults = []
        offline = installed.run(code, HF_HUB_OFFLINE="1")
        assert offline.value == {"value": str(num_rows)}
        assert "Using the latest cached version" in offline.stderr


def test_a_hub_that_fails_halfway_gives_no_stale_copy(installed: Loader, built: Path) -> None:
    installed.hub.add_repository(OURS, published(built))
    code = PLUGIN + f"unicorn_hf.datasets_plugin.register({OURS!r})\n"
    code += "print(json.dumps(error_of(lambda: load_dataset('unicorn', 'pretrain', split='train').num_rows)))"
    assert installed.run(code).value == {"value": str(NUM_PRETRAIN)}
    repository = installed.hub.repositories[OURS]
    repository.commit("Change", {**repository.head.files, "more.txt": repository.head.files["README.md"]})
    installed.hub.faults = [Fault("HEAD", "README.md", status=403, times=1e9)]
    error = installed.run(code).value
    assert error["type"] == "RunError"
    assert "the cached copy may be older" in error["message"]


def test_a_hostile_release_is_a_clear_error(loader: Loader) -> None:
    content = json.dumps([{"id": 1, "caption": ["no text"], "conversations": []}]).encode()
    loader.hub.add_repository(ORIGINAL, {"Unicorn-1.2M.json.zip": zipped(content)})
    code = PLUGIN + "print(json.dumps([error_of(load_dataset, 'unicorn'), error_of(lambda: list("
    code += "load_dataset('unicorn', split='train', streaming=True)))]))"
    for error in loader.run(code).value:
        assert error["type"] == "UnreadableError"
        assert error["message"].startswith(
            'Unicorn-1.2M.json.zip, item 1, field "caption": expected a string, found a list\nGet the file again'
        )


BREAKAGES = {
    "another name": "del datasets.load.dataset_module_factory",
    "other parameters": "datasets.load.dataset_module_factory = lambda name: None",
    "other settings": "datasets.load.DatasetModule = type('DatasetModule', (), {})",
    "not called": "datasets.load.load_dataset_builder = lambda path, **options: None",
    "no such module": "sys.modules['datasets.inspect'] = None",
    "no such class": "del datasets.ArrowBasedBuilder",
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_future_datasets_is_left_as_it_was(installed: Loader, breakage: str) -> None:
    code = f"""{START}
{BREAKAGES[breakage]}
names = ("dataset_module_factory", "load_dataset_builder", "load_dataset", "DatasetModule")
state = lambda: [id(getattr(datasets.load, name, None)) for name in names]
before = state()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import unicorn_hf.datasets_plugin
print(json.dumps([before == state(), [str(w.message) for w in caught if "cannot add" in str(w.message)]]))
"""
    unchanged, said = installed.run(code).value
    assert unchanged
    assert len(said) == 1
    assert 'cannot add the name "unicorn"' in said[0]


def test_importing_the_package_leaves_datasets_alone(installed: Loader) -> None:
    code = "import sys, json, unicorn_hf\nprint(json.dumps('datasets' in sys.modules))"
    assert installed.run(code).value is False
