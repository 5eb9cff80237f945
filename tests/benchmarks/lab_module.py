"""`lab_module`: a module of the whole-network tests, by its file."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

_E2E = Path(__file__).parents[1] / "e2e"


def lab_module(file: str) -> ModuleType:
    """`file`: its path below `tests/e2e`; loaded once."""
    path = _E2E / file
    name = f"lab_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    # Modules of these tests import one another by name alone.
    apps = str(_E2E / "network_apps")
    if apps not in sys.path:
        sys.path.insert(0, apps)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
