"""Suppress the output of libraries; UNICORN_HF_DEBUG=1 shows it."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NO_BARS = ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE")


def debugging() -> bool:
    return bool(os.environ.get("UNICORN_HF_DEBUG"))


@contextmanager
def quiet() -> Iterator[None]:
    """Disable logging, warnings and progress bars in the block: errors arrive as exceptions."""
    if debugging():
        yield
        return
    root = logging.getLogger()
    # `logging.warning`, which open_clip calls, would permanently add a handler to a root logger without one.
    placeholder = logging.NullHandler()
    root.addHandler(placeholder)
    before = root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), restored(*_NO_BARS):
            os.environ.update(dict.fromkeys(_NO_BARS, "1"))
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(placeholder)


@contextmanager
def restored(*names: str) -> Iterator[None]:
    """Give these variables of the environment their value back after the block."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
