"""Lets a torchvision whose compiled operators do not load be imported all the same.

`setup_env.py` copies this module into an environment's site-packages, with a `.pth` file that imports it, and only
where it has seen torchvision fail. That happens when pip had only PyPI to draw on, whose torchvision is built for CUDA,
beside a CPU build of torch: torchvision's own modules then stop at the schema of an operator that nobody declared. Here
the schemas are declared, without an implementation. What is plain Python (image transforms, model definitions) works; a
call to one of these operators raises torchvision's own error.

Every interpreter of the environment imports this at start-up: it imports `sys` alone until torchvision is asked for.
"""

import sys

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


class _Loader:
    """Loads `torchvision.extension` with its own loader, then declares what that module could not load."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        if module._has_ops():
            return
        from torch.library import Library

        # Kept on the module: torch withdraws the declarations when the library object goes.
        module._declared_schemas = Library("torchvision", "FRAGMENT")
        for schema in SCHEMAS:
            module._declared_schemas.define(schema)


class _Finder:
    """Stands first on `sys.meta_path` and answers for one name only."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torchvision.extension":
            return None
        for finder in sys.meta_path:
            find_spec = getattr(finder, "find_spec", None)
            if finder is _Finder or find_spec is None:
                continue
            spec = find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


def install():
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


install()
