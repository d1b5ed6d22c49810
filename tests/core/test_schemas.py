"""The published schemas are a public contract."""

import pyarrow as pa
import pytest

from unicorn_hf.core.schemas import embeddings, instruction, pretrain

PUBLISHED = [
    ("id", "string"),
    ("caption", "string"),
    ("conversations", "list<item: struct<from: string, value: string>>"),
    ("image_embedding", "fixed_size_list<item: halffloat>[8]"),
    ("seed", "string"),
    ("domain", "string"),
]


def test_the_published_columns_are_the_designs() -> None:
    assert [(field.name, str(field.type)) for field in pretrain(8, "float16")] == PUBLISHED
    assert [(field.name, str(field.type)) for field in instruction(8, "float16")] == [*PUBLISHED, ("task", "string")]


@pytest.mark.parametrize("schema", [pretrain, instruction])
def test_vectors_are_of_the_size_and_type_asked_for(schema: object) -> None:
    assert schema(3, "float32").field("image_embedding").type == pa.list_(pa.float32(), 3)  # type: ignore[operator]


def test_representations_keep_all_their_digits_before_the_transfer() -> None:
    assert embeddings(5).field("embedding").type == pa.list_(pa.float32(), 5)
