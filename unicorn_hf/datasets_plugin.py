"""Importing this module, before or after `datasets`, makes `load_dataset("unicorn", ...)` work by the bare name.

>>> import unicorn_hf.datasets_plugin  # doctest: +SKIP
>>> load_dataset("unicorn", "pretrain", split="train")  # doctest: +SKIP

The name resolves in this order: a folder `unicorn` in the working directory, as without the plugin; the folder
`data_dir=`; the repository given to `unicorn_hf.register`; the original authors' release on the Hub. `datasets` loads
and caches the result under its own name, except the original release, which needs our builder.

`datasets` has no entry points, so this module wraps its function that finds a data set, for this one name.
"""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from unicorn_hf.builders import original, places
from unicorn_hf.core.errors import InputError, RunError
from unicorn_hf.core.streams import end_quietly
from unicorn_hf.hub import check_repo_id
from unicorn_hf.hub.failures import diagnose
from unicorn_hf.runtime.dataset_card import check_data_files

NAME = "unicorn"
_FINDER = "dataset_module_factory"
_PARAMETERS = {"path", "revision", "download_config", "data_dir", "data_files"}
_MODULE_FIELDS = {"module_path", "hash", "builder_kwargs", "builder_configs_parameters"}
_WAYS = (
    f'"{NAME}" loads one of these: a build in a folder `{NAME}` here; data_dir="FOLDER"; '
    'a Hub repository, after unicorn_hf.register("ORG/NAME"); else the original release on the Hub.'
)
_repo_id = original.REPOSITORY


def register(repo_id: str) -> None:
    """Make the bare name "unicorn" load this Hub repository, in this process.

    Raises:
        InputError: `repo_id` does not have the form ORG/NAME. Whether it exists is checked at loading.
    """
    global _repo_id
    check_repo_id(repo_id)
    _repo_id = repo_id


def _find(find: Callable[..., Any], **asked: Any) -> Any:
    """What `datasets` calls a module: the builder, its settings, and the cache key."""
    if Path(NAME).is_dir():
        return find(NAME, **asked)
    data_dir = asked.pop("data_dir", None)
    module = _in_folder(find, Path(data_dir), asked) if data_dir else _on_hub(find, asked)
    module.builder_kwargs["data_dir"] = None  # else `datasets` passes the user's to the builder
    return module


def _in_folder(find: Callable[..., Any], folder: Path, asked: Mapping[str, Any]) -> Any:
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise InputError(f"data_dir={str(folder)!r} is not a folder", _WAYS)
    names = original.found_in(places.file_names(folder))
    if not names:
        check_data_files(str(folder))
        return find(str(folder), **asked)
    stats = [(folder / name).stat() for name in names.values()]
    identity = [(str(folder), stat.st_size, stat.st_mtime_ns) for stat in stats]
    return _original_module(names, str(folder), identity, asked)


def _on_hub(find: Callable[..., Any], asked: Mapping[str, Any]) -> Any:
    from datasets import config

    if config.HF_HUB_OFFLINE:
        return find(_repo_id, **asked)  # `datasets` says that it uses the cache.
    commit, names = _ask_hub(asked)
    if files := original.found_in(names):
        base_path = f"hf://datasets/{_repo_id}@{commit}"
        return _original_module(files, base_path, commit, asked, repo_id=_repo_id)
    check_data_files(_repo_id, commit)
    module = find(_repo_id, **{**asked, "revision": commit})
    if module.module_path.startswith("datasets.packaged_modules.cache"):
        raise RunError(
            f"{_repo_id} cannot be read from the Hub now, and the cached copy may be older",
            "Try again, or set HF_HUB_OFFLINE=1 to load the cached copy.",
        )
    return module


def _ask_hub(asked: Mapping[str, Any]) -> tuple[str, set[str]]:
    """The repository's commit at the requested revision, and its file names."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    revision, download_config = asked.get("revision"), asked.get("download_config")
    api = HfApi(token=download_config.token if download_config else None, library_name="unicorn-hf")
    try:
        info = api.dataset_info(_repo_id, revision=str(revision) if revision else None, timeout=100)
    except RevisionNotFoundError as error:
        raise InputError(f"{_repo_id} on the Hub has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"the Hub has no data set {_repo_id}, or you have no access to it", _WAYS) from error
    except Exception as error:
        if failure := diagnose(error):
            raise RunError(f"{_repo_id}: {failure.message}", f"{failure.advice}\n{_WAYS}") from error
        raise
    return str(info.sha), {file.rfilename for file in info.siblings or ()}


def _original_module(
    files: Mapping[str, str], base_path: str, identity: object, asked: Mapping[str, Any], repo_id: str | None = None
) -> Any:
    from datasets.data_files import DataFilesPatternsDict
    from datasets.fingerprint import Hasher
    from datasets.load import BuilderConfigsParameters, DatasetModule

    from unicorn_hf.builders.unicorn import UnicornConfig

    if asked.get("data_files"):
        raise InputError("the original release has fixed files and takes no data_files=", _WAYS)
    configs = [
        UnicornConfig(name=config, data_files=DataFilesPatternsDict.from_patterns({"train": [name]}))
        for config, name in files.items()
    ]
    return DatasetModule(
        UnicornConfig.__module__,
        identity if isinstance(identity, str) else Hasher.hash(identity),
        {"base_path": base_path, "dataset_name": NAME, "repo_id": repo_id},
        builder_configs_parameters=BuilderConfigsParameters(
            builder_configs=configs, default_config_name=configs[0].name
        ),
    )


def _unfit() -> str:
    """Why the installed `datasets` cannot resolve the name; empty if it can."""
    try:
        load, _ = import_module("datasets.load"), import_module("datasets.inspect")
        if missing := _PARAMETERS - set(inspect.signature(getattr(load, _FINDER)).parameters):
            return f"{_FINDER} takes no {', '.join(sorted(missing))}"
        if missing := _MODULE_FIELDS - {field.name for field in fields(load.DatasetModule)}:
            return f"DatasetModule has no {', '.join(sorted(missing))}"
        if _FINDER not in inspect.unwrap(load.load_dataset_builder).__code__.co_names:
            return f"load_dataset_builder does not call {_FINDER}"
        import_module("unicorn_hf.builders.unicorn")
    except (ImportError, AttributeError, TypeError) as error:
        return str(error)
    return ""


def _wrapped(find: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(find)

    @wraps(find)
    def dataset_module_factory(path: Any, *args: Any, **kwargs: Any) -> Any:
        if path != NAME:
            return find(path, *args, **kwargs)
        asked = {"revision": None, **signature.bind(path, *args, **kwargs).arguments}
        asked.update(asked.pop("download_kwargs", {}))
        return _find(find, **{name: value for name, value in asked.items() if name != "path"})

    return dataset_module_factory


def _install() -> None:
    if reason := _unfit():
        warnings.warn(
            f'unicorn-hf cannot add the name "{NAME}" to this version of datasets ({reason}). '
            'Use load_dataset("FOLDER") or load_dataset("ORG/NAME").',
            stacklevel=2,
        )
        return
    for module in (import_module("datasets.load"), import_module("datasets.inspect")):
        setattr(module, _FINDER, _wrapped(getattr(module, _FINDER)))


end_quietly()
_install()
