"""`verify_audit`: an audit that is not whole is an error, which names the line."""

from typing import Any

from fedehr_client.audit.log import Audit
from fedehr_client.chained_file import NO_LINE
from fedehr_shared.errors import DataError


def verify_audit(audit: Audit, expect: str = "") -> dict[str, Any]:
    """Follow the chain, and compare it with its head and with a hash known from elsewhere.

    Args:
        audit: the file.
        expect: the hash of one of its lines, noted down earlier; empty: none was.

    Raises:
        DataError: a line was edited, moved or removed, lines were cut off, or no line has the
            hash.
    """
    state = audit.verify()
    if state.fault:
        raise DataError(
            f"the audit {audit.file} is not whole: {state.fault}. Compare it with a backup."
        )
    if expect and expect != NO_LINE and not any(one == expect for one in audit.hashes()):
        raise DataError(
            f"no line of {audit.file} has the hash {expect[:16]}...: the file was written anew, "
            "or the hash is of another one. Compare it with a backup."
        )
    return {
        "file": str(audit.file),
        "num_lines": state.num_lines,
        "num_torn": state.num_torn,
        "last_hash": state.last_hash,
    }
