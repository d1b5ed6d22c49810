"""What holds of every engine: its answers are found by its settings, and by the version of another package."""

from pathlib import Path
from typing import Literal

import pytest

from unicorn_hf.core.choices import ENCODERS, ENGINES
from unicorn_hf.core.encoder import resolve_encoder
from unicorn_hf.core.engine import AnyEngine, resolve_generator
from unicorn_hf.engines import EchoEngine, EndpointEngine, VllmEngine

ENCODER = """
from dataclasses import dataclass
from unicorn_hf.core.encoder import AnyEncoder

@dataclass(frozen=True)
class Tin(AnyEncoder):
    forms = {"": "nothing but tin"}

    @classmethod
    def parse(cls, rest):
        return cls()

    def identity(self):
        return "tin"

    def open(self, batch_size, long_captions):
        raise NotImplementedError
"""


class Brush(AnyEngine):
    kind: Literal["tin-paint:brush"] = "tin-paint:brush"
    width: int = 1


def installed(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `tin-paint`, of this version, found before any that is installed already."""
    metadata = folder / version / f"tin_paint-{version}.dist-info"
    metadata.mkdir(parents=True)
    (folder / version / "tin_paint.py").write_text(ENCODER)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tin-paint\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(
        "[unicorn_hf.engines]\nbrush = tests.core.test_engine:Brush\n[unicorn_hf.encoders]\ntin = tin_paint:Tin\n"
    )
    monkeypatch.syspath_prepend(folder / version)
    for registry in (ENCODERS, ENGINES):
        assert registry.names  # They are found now, and again after the test.
        monkeypatch.delitem(vars(registry), "_others")


@pytest.mark.parametrize(
    ("engine", "identity"),
    [
        (EchoEngine(), "853d5d4a3d3ac0af"),
        (EndpointEngine(kind="endpoint", model="m", base_url="http://a/v1", extra_body={"a": 1}), "585c3b959515045e"),
        (VllmEngine(model="org/x", revision="v2", dtype="float32"), "8e876832817884d6"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_answers_of_earlier_versions_are_still_found(
    engine: AnyEngine, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert resolve_generator(engine).identity == identity


def test_another_version_of_its_package_is_another_engine_and_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for version in ("1.0", "1.1"):
        installed(tmp_path, version, monkeypatch)
        found.append((resolve_generator(Brush()).identity, resolve_encoder("tin-paint:tin", 8).identity))
    assert len({*found[0], *found[1]}) == 4
    assert resolve_generator(Brush(width=2)).identity not in (found[0][0], found[1][0])


def test_what_a_new_engine_need_not_say() -> None:
    engine = Brush()
    assert (engine.title, engine.full_title, engine.model_name) == ("tin-paint:brush", "tin-paint:brush", "")
    assert (engine.author, engine.rehearsal, engine.model_license()) == ("model", "", None)
    assert engine.published() == engine
    assert (engine.gpus_per_worker, engine.workers_on_cpu(8, 4), engine.partitions_at_once(512)) == (1, 1, 1)
