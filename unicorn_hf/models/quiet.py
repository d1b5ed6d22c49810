"""Suppress the output of libraries; UNICORN_HF_DEBUG=1 shows it."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


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
    bars = {name: os.environ.get(name) for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE")}
    os.environ.update(dict.fromkeys(bars, "1"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        root.removeHandler(placeholder)
        for name, value in bars.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
