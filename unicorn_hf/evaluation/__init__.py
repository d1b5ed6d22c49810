"""How well a model that a set trains reads real images: `unicorn-hf evaluate`.

>>> from unicorn_hf.evaluation import Asked, evaluate_set
>>> from unicorn_hf.representations.pictures import PictureSource
>>> asked = Asked(PictureSource("photos", limit=1000))
>>> score = evaluate_set("unicorn", asked)  # doctest: +SKIP

See docs/evaluate.md for details.
"""

# It says what to install if there is no PyTorch.
import unicorn_hf.torch  # noqa: F401  isort: skip
from unicorn_hf.evaluation.evaluate import Asked, Source, evaluate_model, evaluate_set, evaluate_source, opened

__all__ = ["Asked", "Source", "evaluate_model", "evaluate_set", "evaluate_source", "opened"]
