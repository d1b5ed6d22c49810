"""LLaMA-Factory's training, as far as it reads its examples."""

from pathlib import Path


def run_exp() -> None:
    """Reads all of both sets, and looks whether each example's vector is its row's."""
    import torch
    from llamafactory.data.converter import examples  # type: ignore[import-not-found]
    from llamafactory.data.mm_plugin import LlavaPlugin  # type: ignore[import-not-found]

    from unicorn_hf.builders.rows import batches, vectors_of

    plugin = LlavaPlugin()
    for config in ("pretrain", "instruction"):
        found = examples(Path("unicorn-sharegpt"), f"unicorn_{config}")
        for example in found:
            messages = [{"content": text} for text in (*example["prompt"], *example["response"])]
            told = plugin.process_messages(messages, example["images"], [], [], None)
            assert sum(turn["content"].count(plugin.image_token) for turn in told) == len(example["images"]) == 1
        images = [image for example in found for image in example["images"]]
        inputs = plugin.get_mm_inputs(images, [], [], [1] * len(images), [], [], [], None)
        wanted = [row for batch in batches(Path("unicorn"), config, ["image_embedding"]) for row in vectors_of(batch)]
        assert torch.equal(inputs["pixel_values"], torch.stack([torch.from_numpy(row) for row in wanted]))
    assert plugin.get_mm_inputs([], [], [], [0], [0], [0], [], None) == {}
