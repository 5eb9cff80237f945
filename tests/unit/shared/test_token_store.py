"""A damaged token store says so; one made from other things is made anew."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedehr_shared.errors import DataError
from fedehr_shared.tokens.back_off import BackOffShares, back_off_shares
from fedehr_shared.tokens.store import TokenStore
from fedehr_shared.vocabulary.resolution import ANCESTOR, EXACT, UNKNOWN_STEP

ABOUT = {"vocabulary": "digest"}
ARRAYS = ("tokens", "times", "hours", "visits", "offsets", "subject_ids", "first_ages")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = TokenStore(
        tokens=np.asarray([4, 5, 6], np.int32),
        times=np.asarray([0, 1, 2], np.int64),
        hours=np.asarray([0.0, 0.0, 1.0], np.float32),
        visits=np.asarray([0, 1, 1], np.int32),
        offsets=np.asarray([0, 1, 3], np.int64),
        subject_ids=np.asarray([7, 9], np.int64),
        first_ages=np.asarray([1.0, np.nan], np.float32),
        back_off=BackOffShares(0.5, None, None, 0.0),
    )
    store.save(tmp_path / "tokens", ABOUT)
    assert TokenStore.load(tmp_path / "tokens", ABOUT) is not None
    return tmp_path / "tokens"


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("fault", ["gone", "empty", "cut", "text", "shorter"])
def test_a_damaged_array_is_told(folder: Path, name: str, fault: str) -> None:
    file = folder / f"{name}.npy"
    whole = file.read_bytes()
    if fault == "gone":
        file.unlink()
    elif fault == "shorter":
        np.save(file, np.load(file)[:-1])
    else:
        file.write_bytes({"empty": b"", "cut": whole[:-3], "text": b"not an array"}[fault])
    with pytest.raises(DataError, match="damaged"):
        TokenStore.load(folder, ABOUT)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"vocabulary": "digest"}'])
def test_a_damaged_manifest_is_told(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="damaged"):
        TokenStore.load(folder, ABOUT)


def test_a_store_without_manifest_is_none(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    assert TokenStore.load(folder, ABOUT) is None


def test_a_failed_save_leaves_the_old_store_and_no_rest(folder: Path) -> None:
    old = TokenStore.load(folder, ABOUT)
    assert old is not None
    with pytest.raises(TypeError):
        old.save(folder, {"vocabulary": object()})  # type: ignore[dict-item]
    assert TokenStore.load(folder, ABOUT) is not None
    assert [f.name for f in folder.parent.iterdir()] == ["tokens"]


def test_a_manifest_holds_no_path_and_no_subject(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    assert set(content) == {"format", "vocabulary", "back_off"}


def _shares(exact: int, ancestor: int, unknown: int) -> BackOffShares:
    """So many subjects at each step, one event each; steps share no subject."""
    steps = [EXACT] * exact + [ANCESTOR] * ancestor + [UNKNOWN_STEP] * unknown
    ids = np.arange(len(steps), dtype=np.int64)
    return back_off_shares(np.asarray(steps, np.int8), ids, min_cell=5)


def test_shares_add_up_where_all_may_be_told() -> None:
    assert _shares(20, 10, 10) == BackOffShares(0.5, 0.25, 0.0, 0.25)
    assert _shares(20, 20, 0) == BackOffShares(0.5, 0.5, 0.0, 0.0)


@pytest.mark.parametrize("counts", [(20, 10, 3), (20, 3, 10), (3, 20, 10), (20, 0, 4)])
def test_a_withheld_share_cannot_be_found_by_subtraction(counts: tuple[int, int, int]) -> None:
    shares = _shares(*counts)
    told = [shares.exact, shares.ancestor, shares.unknown]
    small = [i for i, num in enumerate(counts) if 0 < num < 5]
    assert all(told[i] is None for i in small)
    assert sum(share is None for share in told) >= 2


def test_two_small_shares_cannot_be_found_together() -> None:
    # Three and one subjects: told alone, the large share would count the four by subtraction.
    assert _shares(20, 3, 1) == BackOffShares(None, None, 0.0, None)
    assert _shares(20, 3, 2) == BackOffShares(0.8, None, None)
