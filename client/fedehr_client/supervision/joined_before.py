"""`JoinedBefore`: whether this coordinator has ever let this site's key in."""

import json
from pathlib import Path

from fedehr_client.node.keys import private_key_fingerprint
from fedehr_client.site import ConnectionConfig

JOINED_FILE = "joined.json"


class JoinedBefore:
    """A note in the node's state folder.

    The engine refuses an unknown key and one whose last connection has not lapsed in the same
    words; only a key that was let in before can be the latter.
    """

    def __init__(self, state: Path, network: ConnectionConfig) -> None:
        """Reads the key.

        Raises:
            ConfigError: the key cannot be read.
        """
        self._file = state / JOINED_FILE
        key = private_key_fingerprint(network.private_key)
        self._identity = json.dumps({"coordinator": network.coordinator, "key": key})

    def note(self) -> None:
        """It has been let in now."""
        self._file.write_text(self._identity, encoding="utf-8")

    def is_so(self) -> bool:
        """Whether it has been let in before, with this key and by this coordinator."""
        try:
            return self._file.read_text(encoding="utf-8") == self._identity
        except FileNotFoundError:
            return False
