"""Addresses of schedulers that somebody started: which are refused, and which are open to others."""

import json
from functools import partial
from pathlib import Path

import pytest

from unicorn_hf.core.errors import InputError
from unicorn_hf.runtime.launch import find_place

place = partial(find_place, on_cpu=3, uses_gpu=True)


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("tcp://scheduler.example.org:8786", True),
        ("ucx://[fd00::1]:8786", True),
        ("ws://10.0.0.1:8786", True),
        ("tls://10.0.0.1:8786", False),
        ("wss://10.0.0.1:8786", False),
        ("tcp://127.0.0.2:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
    ],
)
def test_a_scheduler_that_is_open_to_its_network_is_told(address: str, is_open: bool, tmp_path: Path) -> None:
    (tmp_path / "scheduler.json").write_text(json.dumps({"address": address}))
    for where in (address, str(tmp_path / "scheduler.json")):
        warning = place(where, None).warning
        assert (f"{address} is open to its network" in warning) == is_open == bool(warning)


@pytest.mark.parametrize(
    "address",
    [
        "tcp://user:a-secret@10.0.0.1:8786",
        "tls://a-secret@10.0.0.1:8786",
        "tls://10.0.0.1:8786?key=a-secret",
        "tls://10.0.0.1:8786#a-secret",
    ],
)
def test_credentials_in_a_schedulers_address_are_refused_and_not_told(address: str, tmp_path: Path) -> None:
    (tmp_path / "scheduler.json").write_text(json.dumps({"address": address}))
    for where in (address, str(tmp_path / "scheduler.json")):
        with pytest.raises(InputError, match="no user, password or query") as caught:
            place(where, None)
        assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "\x00", '"tcp://10.0.0.1:8786"'])
def test_a_file_that_is_no_schedulers_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "scheduler.json").write_text(content)
    with pytest.raises(InputError, match=r"scheduler\.json is not a Dask scheduler file"):
        place(str(tmp_path / "scheduler.json"), None)
