"""The score of a set or a model on real images."""

from typing import Annotated

from pydantic import Field

from unicorn_hf.core.figures import Figures, Rounded

Percent = Annotated[Rounded, Field(ge=0, le=100)]


class Score(Figures):
    """Results of `unicorn-hf evaluate`. Only scores with the same `setting` are comparable.

    Shares of right answers are in per cent.
    """

    on: str
    """Name of the source of the images."""
    on_id: str
    """Fingerprint of the images and questions."""
    num_pictures: int
    num_questions: int
    encoder: str
    trained: str
    """What answered: a proxy that was trained on the set, or a model."""
    accuracy: Percent
    lower: Percent
    """Of the 95 % interval of a bootstrap over images, and over random seeds if there are several."""
    upper: Percent
    blind: Percent
    """The share if every image is replaced by the mean image."""
    most_common: Percent
    """The share of the most frequent answer."""
    chance: Percent | None
    """The expected share of guesses; None for questions without options."""
    per_kind: dict[str, Rounded] = {}
    """The share by kind of question."""
    measures: dict[str, Rounded] = {}
    """Other figures that the benchmark's own program reports."""

    @property
    def setting(self) -> str:
        return f"{self.on} ({self.on_id[:6]}), {self.encoder}, {self.trained}"

    @property
    def shown(self) -> str:
        """The share of right answers with its interval."""
        return f"{self.accuracy:.1f} % [{self.lower:.1f}, {self.upper:.1f}]"
