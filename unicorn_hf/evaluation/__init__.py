"""How well a set teaches to read real pictures, and how well a model reads them: `unicorn-hf evaluate`.

>>> from unicorn_hf.evaluation import evaluate_set
>>> score = evaluate_set("unicorn", PictureSource("photos", limit=1000))  # doctest: +SKIP

See docs/evaluate.md for details.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("unicorn_hf.evaluation needs PyTorch: pip install 'unicorn-hf[torch]'") from error

from unicorn_hf.evaluation.evaluate import Asked, Source, evaluate_model, evaluate_set, evaluate_source, opened

__all__ = ["Asked", "Source", "evaluate_model", "evaluate_set", "evaluate_source", "opened"]
