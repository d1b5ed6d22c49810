"""Seeds in a data set."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from unicorn_hf.core.choices import SOURCES
from unicorn_hf.core.left_out import ReadingNotes
from unicorn_hf.core.section import Revision, Strings
from unicorn_hf.core.sources import SeedSource
from unicorn_hf.seeds.templates import expanded, with_label

_FILE_NAME = r"[A-Za-z0-9_*][A-Za-z0-9_.*-]*"
DataFiles = Annotated[
    str,
    Field(
        pattern=rf"^{_FILE_NAME}(/{_FILE_NAME})*\.parquet$",
        description="a pattern of Parquet files in the data set: pretrain/*.parquet",
    ),
]


@SOURCES.register("dataset")
class DatasetSource(SeedSource):
    """Caption seeds in a Hub data set, or any path that `datasets.load_dataset` reads; read as a stream."""

    is_remote = True
    hub_keys = ("path",)
    taken_keys = (
        *("config", "split", "revision", "column", "image_id"),
        *("templates", "num_templates", "where", "data_files"),
    )
    kind: Literal["dataset"]
    path: str
    """`ORG/NAME` on the Hub, or a path that `datasets.load_dataset` reads."""
    config: str | None = None
    split: str = "train"
    revision: Revision | None = None
    column: str | Strings
    """A column of texts, lists of texts or class labels, or several columns; one text of a row becomes a seed."""
    image_id: str | None = None
    """The column with the image of a caption: one caption of each image becomes a seed."""
    templates: Annotated[Strings, AfterValidator(with_label)] = ()
    """The column holds labels: the class names, or each text, are inserted into these templates (`{label}`)."""
    num_templates: PositiveInt = 10
    """Templates drawn for each label, without repetition; all if there are fewer."""
    where: dict[str, str] = Field(default_factory=dict)
    """For Parquet files: only rows with these values in these columns."""
    data_files: DataFiles | None = None
    """A pattern of Parquet files relative to the data set, which overrides its card: `pretrain/*.parquet`."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,) if isinstance(self.column, str) else self.column

    @model_validator(mode="after")
    def _labels_are_one_column(self) -> "DatasetSource":
        if not self.columns:
            raise ValueError("column is empty")
        if self.templates and (len(self.columns) > 1 or self.image_id):
            raise ValueError("templates require a single column of labels, and no image_id")
        return self

    def read(self, random_seed: int, notes: ReadingNotes) -> Iterator[str]:
        from unicorn_hf.seeds.datasets import read_dataset, read_labels

        if not self.templates:
            return read_dataset(self, random_seed)
        return expanded(read_labels(self), self.templates, self.num_templates, random_seed)
