"""A built or published set for PyTorch: two data sets, a tokenizer for conversations, and a collator.

>>> from unicorn_hf.torch import Collator, ConversationTokenizer, UnicornDataset
>>> data = UnicornDataset("unicorn", ConversationTokenizer(tokenizer, image_tokens=4))  # doctest: +SKIP
>>> loader = torch.utils.data.DataLoader(data, 8, shuffle=True, collate_fn=Collator(tokenizer))  # doctest: +SKIP

See docs/training.md for details.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("unicorn_hf.torch needs PyTorch: pip install 'unicorn-hf[torch]'") from error

from unicorn_hf.torch.batches import Collator, as_item, place_images
from unicorn_hf.torch.conversations import IGNORE_INDEX, ConversationTokenizer, Tokenized
from unicorn_hf.torch.data import UnicornDataset, UnicornIterableDataset

__all__ = [
    "IGNORE_INDEX",
    "Collator",
    "ConversationTokenizer",
    "Tokenized",
    "UnicornDataset",
    "UnicornIterableDataset",
    "as_item",
    "place_images",
]
