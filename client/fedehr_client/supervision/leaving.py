"""`leave`: the end of a site's part in a federation, with its records of it kept."""

import shutil
from pathlib import Path

from fedehr_client.erasure.caches import find_caches, remove_caches
from fedehr_client.ledger.ledger_file import FOLDER_NAME
from fedehr_client.node.folder import NodeFolder
from fedehr_client.supervision.running_node import RunningNode
from fedehr_shared.errors import DataError


def leave(node: NodeFolder, *, erase_work: bool, erase_ledger: bool) -> list[Path]:
    """Stop the node, and erase what was asked for.

    Args:
        node: the node's folder.
        erase_work: remove what was made of the records: token stores, parts of models.
        erase_ledger: remove the account of privacy too, which nothing can make again.

    Returns:
        What was removed.

    Raises:
        ConfigError: the site file is missing or wrong.
        DataError: something cannot be removed.
        NetworkError: a process could not be ended.
    """
    RunningNode(node).stop()
    work = node.config().site.work
    removed: list[Path] = []
    if erase_work:
        removed += find_caches(work)
        remove_caches(work)
    ledger = work / FOLDER_NAME
    if erase_ledger and ledger.is_dir():
        _remove(ledger)
        removed.append(ledger)
    return removed


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise DataError(
            f"cannot remove {folder}: {error.strerror}. Mend its permissions and repeat."
        ) from error
