"""Engines: what writes captions and conversations. A file for each; the class in it is all that there is to an engine.

What an engine is, `unicorn_hf.core.engine` says. `generators/` does the work, and is imported when an engine is opened.
"""

# In the order in which they are listed everywhere. A module that is not named here is found too, after these.
# isort: off
from unicorn_hf.engines.vllm import VllmEngine
from unicorn_hf.engines.endpoint import EndpointEngine
from unicorn_hf.engines.echo import EchoEngine
from unicorn_hf.engines.imported import ImportedEngine
# isort: on

__all__ = ["EchoEngine", "EndpointEngine", "ImportedEngine", "VllmEngine"]
