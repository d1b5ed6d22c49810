"""Every kind of choice that a recipe or a command makes by name; one that is added appears wherever names are listed.

The classes are of higher layers, which the registries import by name when they are first asked.
"""

from unicorn_hf.core.registry import Registry
