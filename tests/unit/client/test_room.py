"""Room is tried before work; trying leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedehr_client.room import require_room
from fedehr_shared.errors import DataError, StorageError

_NUM_BYTES = 1_000_000


def test_what_fits_is_let_through_and_nothing_of_it_stays(
    small_disk: Callable[[int], Path],
) -> None:
    folder = small_disk(_NUM_BYTES) / "work" / "new"
    for _ in range(3):
        require_room(folder, _NUM_BYTES * 8 // 10)
    assert list(folder.iterdir()) == []
    require_room(folder, 0)


def test_what_does_not_fit_is_told_with_both_numbers(
    small_disk: Callable[[int], Path], fill_disk: Callable[..., Path]
) -> None:
    folder = small_disk(_NUM_BYTES)
    filler = fill_disk(folder, left=100_000)
    with pytest.raises(StorageError, match=rf"^500,000 bytes are needed below {folder}, and its "):
        require_room(folder, 500_000)
    assert list(folder.iterdir()) == [filler]


def test_a_disk_without_a_single_block_is_full_too(
    small_disk: Callable[[int], Path], fill_disk: Callable[..., Path]
) -> None:
    folder = small_disk(_NUM_BYTES)
    fill_disk(folder, left=0)
    with pytest.raises(StorageError):
        require_room(folder / "work", 1)


def test_a_folder_that_is_none_is_another_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write below"):
        require_room(tmp_path / "file", 1)
