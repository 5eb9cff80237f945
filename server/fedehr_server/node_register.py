"""`NodeRegister`: by the engine's node id, the name under which a site was registered."""

import contextlib
import json
from pathlib import Path


class NodeRegister:
    """Reads `sites/*.json` of a coordinator folder; a site that joins later is found too."""

    def __init__(self, folder: Path) -> None:
        """`folder`: may be missing, as in a simulation: then no node has a name."""
        self._folder = folder
        self._names: dict[int, str] = {}

    def name_of(self, node: int) -> str | None:
        """The registered name; None where no site has this node."""
        if node not in self._names:
            self._names = dict(self._read())
        return self._names.get(node)

    def _read(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for file in sorted(self._folder.glob("*.json")):
            # A file that is being written, or was removed meanwhile, is of no node yet.
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                site = json.loads(file.read_text(encoding="utf-8"))
                found[int(site["node_id"])] = str(site["name"])
        return found
