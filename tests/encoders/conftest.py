"""What holds for the tests of encoders."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def on_the_cpu() -> Iterator[None]:
    """Encoders run in float32, without a GPU, on a machine that has one too: what is compared is exact."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
