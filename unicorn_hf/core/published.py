"""A recipe as others may read it: without what is this machine's."""

from pathlib import Path

from unicorn_hf.core.encoder_spec import OpenClipSpec, parse_encoder_spec
from unicorn_hf.core.recipe import Recipe, VllmEngine

TRANSFER_FILE = "transfer.safetensors"
_LOCAL_DIR = "local-dir:"


def published_recipe(recipe: Recipe) -> Recipe:
    """The recipe without where it ran, and without the folders that its files were in: files keep their names."""
    data = recipe.model_dump(mode="json", exclude={"cluster"})
    for source in data["seeds"]["sources"]:
        source["path"] = published_name(source["path"])
    data["captions"]["prompt"] = published_name(recipe.captions.prompt)
    for name, task in recipe.instructions.tasks.by_name().items():
        data["instructions"]["tasks"][name]["prompt"] = published_name(task.prompt)
    if isinstance(recipe.engine, VllmEngine):
        data["engine"]["model"] = published_name(recipe.engine.model)
    if recipe.representations.image_statistics:
        # The set's own file holds the image side too.
        data["representations"]["image_statistics"] = TRANSFER_FILE
    data["representations"]["encoder"] = published_encoder(recipe.representations.encoder)
    return Recipe.model_validate(data)


def published_name(name: str) -> str:
    """A file's or folder's name without the folders above it; names of other kinds as they are."""
    return Path(name).name if name.startswith(("/", ".", "~")) else name


def published_encoder(encoder: str) -> str:
    """An encoder's name without the folders of its file of weights."""
    spec = parse_encoder_spec(encoder)
    if not isinstance(spec, OpenClipSpec):
        return encoder
    if spec.model.startswith(_LOCAL_DIR):
        return f"open_clip:{_LOCAL_DIR}{Path(spec.model.removeprefix(_LOCAL_DIR)).name}"
    return f"open_clip:{spec.model}/{published_name(spec.pretrained)}" if spec.pretrained else encoder
