"""Engines, which write captions and conversations: one class in one file each.

`unicorn_hf.core.engine` defines the interface. The code in `generators/` is imported when an engine is opened.
"""

# This order is the one of every list of engines. Other modules of this package are found too, after these.
# isort: off
from unicorn_hf.engines.vllm import VllmEngine
from unicorn_hf.engines.endpoint import EndpointEngine
from unicorn_hf.engines.batch import BatchEngine
from unicorn_hf.engines.echo import EchoEngine
from unicorn_hf.engines.imported import ImportedEngine
# isort: on

__all__ = ["BatchEngine", "EchoEngine", "EndpointEngine", "ImportedEngine", "VllmEngine"]
