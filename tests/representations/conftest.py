"""What holds for tests of representations."""

import pytest

from unicorn_hf.representations.transfers.aniso_align import AnisoAlign, Settings

QUICK = Settings(num_steps=4, hidden=16, batch_size=32, learning_rate=0.02, num_knots=17)
"""Enough to change something: the fast training of small networks."""


@pytest.fixture(autouse=True)
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnisoAlign, "settings", QUICK)
