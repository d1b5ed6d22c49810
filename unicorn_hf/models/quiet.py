"""Keeps the chatter of the libraries below off a person's terminal; UNICORN_HF_DEBUG=1 brings it back."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


def debugging() -> bool:
    return bool(os.environ.get("UNICORN_HF_DEBUG"))


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is logged, no warning and no progress bar is shown: what matters arrives as an exception."""
    if debugging():
        yield
        return
    root = logging.getLogger()
    # `logging.warning`, which open_clip calls, would give the root logger a handler for good if it had none.
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
