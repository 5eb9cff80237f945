"""What was made of a site's records in its work folder: token stores, an optimizer's state,
parts of models that the site trained for itself, and other arrays.

They can all be made again, parts of models by another run of their study, so they are removed
whole: no store can be shown to hold nothing of a subject as surely as no store.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path

from fedehr_client.erasure.table import sync
from fedehr_shared.errors import DataError
from fedehr_shared.tokens.build_lock import build_lock

_ARRAYS = frozenset(
    {
        ".npy",
        ".npz",
        ".parquet",
        ".arrow",
        ".feather",
        ".duckdb",
        ".safetensors",
        ".answer",
    }
)
"""Files of these kinds in a work folder hold rows of subjects, or sums over them. Ledgers,
reports, receipts and vocabularies are JSON, and stay."""
_MANIFEST = "manifest.json"


def find_caches(work: Path | None) -> list[Path]:
    """Each cache under `work`: the folder of a store, or a single file of arrays.

    A folder with a manifest is a store and goes as one; stores that a killed process left
    half written have none, and go file by file.
    """
    if work is None or not work.is_dir():
        return []
    arrays = [file for file in work.rglob("*") if file.suffix in _ARRAYS and _is_file(file)]
    return sorted({_store_of(file) or file for file in arrays})


def remove_caches(work: Path | None) -> None:
    """Remove every cache under `work`; a store that is being built is waited for.

    Raises:
        DataError: one cannot be removed.
    """
    if work is None:
        return
    with ExitStack() as stack:
        for lock in sorted(work.glob(".*.lock")):
            stack.enter_context(build_lock(lock.with_name(lock.stem.removeprefix("."))))
        _remove(find_caches(work))


def _remove(caches: list[Path]) -> None:
    for cache in caches:
        try:
            if cache.is_dir():
                # Without its manifest a store counts for nothing, should the rest be cut short.
                (cache / _MANIFEST).unlink()
                shutil.rmtree(cache)
            else:
                cache.unlink()
            sync(cache.parent)
        except OSError as error:
            raise DataError(
                f"cannot remove {cache}: {error.strerror}. Mend its permissions and repeat."
            ) from error


def _store_of(file: Path) -> Path | None:
    return file.parent if (file.parent / _MANIFEST).is_file() else None


def _is_file(file: Path) -> bool:
    return file.is_file() or file.is_symlink()
