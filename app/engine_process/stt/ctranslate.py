"""CTranslate2's compiled part alone: its package around it imports 16 MB that only converting needs."""

import functools
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from types import ModuleType

from ...engine import protocol


@functools.cache
def extension() -> ModuleType:
    """The module `ctranslate2._ext`, with `Whisper` and `StorageView`; the package's `__init__` is not run."""
    package = importlib.util.find_spec("ctranslate2")
    for place in (package.submodule_search_locations or []) if package else []:
        for suffix in EXTENSION_SUFFIXES:
            path = Path(place) / f"_ext{suffix}"
            if path.is_file():
                loader = ExtensionFileLoader("ctranslate2._ext", str(path))
                spec = importlib.util.spec_from_loader(loader.name, loader)
                if spec is not None:
                    module = importlib.util.module_from_spec(spec)
                    loader.exec_module(module)
                    return module
    raise protocol.Refused(
        "misconfigured", "the package ctranslate2 is not installed; pip install ctranslate2"
    )
