"""How well a set teaches to read real pictures, and how well a model reads them: `unicorn-hf evaluate`.

>>> from unicorn_hf.evaluation import evaluate_set
>>> score = evaluate_set("unicorn", PictureSource("photos", limit=1000))  # doctest: +SKIP

See docs/evaluate.md for details.
"""

# It says what to install if there is no PyTorch.
import unicorn_hf.torch  # noqa: F401  isort: skip
from unicorn_hf.evaluation.evaluate import Asked, Source, evaluate_model, evaluate_set, evaluate_source, opened

__all__ = ["Asked", "Source", "evaluate_model", "evaluate_set", "evaluate_source", "opened"]
