"""Encoders, which map captions and images to vectors: one class in one file for each kind.

`unicorn_hf.core.encoder` defines the interface, `towers/` has the code that encoders share.
"""

# This order is the one of every list of encoders. Other modules of this package are found too, after these.
# isort: off
from unicorn_hf.encoders.open_clip import OpenClip
from unicorn_hf.encoders.clip import Clip
from unicorn_hf.encoders.llm2clip import Llm2Clip
from unicorn_hf.encoders.hashing import Hashing
from unicorn_hf.encoders.imported import Imported
# isort: on

__all__ = ["Clip", "Hashing", "Imported", "Llm2Clip", "OpenClip"]
