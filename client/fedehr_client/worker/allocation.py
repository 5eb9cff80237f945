"""`return_large_blocks`: what large requests and answers held goes back to the system at once.

The C library otherwise raises, step by step, the size from which a block has pages of its own;
blocks that grow or are freed below it stay with the process, up to the size of a whole answer.
"""

import ctypes

_M_MMAP_THRESHOLD = -3
_LARGE_BYTES = 2**20


def return_large_blocks() -> bool:
    """Fix that size; returns whether the C library knows how (glibc does, musl has no need)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES))
