"""Files that their owner alone may read, from the moment that they exist."""

import os


def private_opener(path: str, flags: int) -> int:
    """For `open(..., opener=private_opener)`: mode 0600, whatever the umask."""
    return os.open(path, flags, 0o600)
