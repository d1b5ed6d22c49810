"""The rehearsal's engine."""

import pickle

from unicorn_hf.core.engine import resolve_generator
from unicorn_hf.engines.echo import EchoEngine
from unicorn_hf.engines.generators.echo import EchoGenerator


def test_echo_needs_nothing() -> None:
    spec = resolve_generator(EchoEngine())
    assert (spec.engine.title, spec.model, spec.deterministic) == ("echo", "", True)
    assert spec.environment(4) == {"OMP_NUM_THREADS": "4", "RAYON_NUM_THREADS": "4"}
    assert isinstance(spec.open(), EchoGenerator)
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301
