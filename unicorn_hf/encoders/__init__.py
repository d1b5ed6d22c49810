"""Encoders: captions and images to vectors. A file for each kind; the class in it is all that there is to it.

What an encoder is, `unicorn_hf.core.encoder` says. `towers/` does the work, and is imported when an encoder is opened.
"""

# In the order in which they are listed everywhere. A module that is not named here is found too, after these.
# isort: off
from unicorn_hf.encoders.open_clip import OpenClip
from unicorn_hf.encoders.clip import Clip
from unicorn_hf.encoders.llm2clip import Llm2Clip
from unicorn_hf.encoders.hashing import Hashing
from unicorn_hf.encoders.imported import Imported
# isort: on

__all__ = ["Clip", "Hashing", "Imported", "Llm2Clip", "OpenClip"]
