"""After an erasure the token store is made again: without them, and the same for the others."""

import fcntl
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedehr_client.answers.site_data import SiteData
from fedehr_client.compute.config import ComputeConfig
from fedehr_client.erasure.caches import find_caches, remove_caches
from fedehr_client.locator import SiteLocation
from fedehr_shared.vocabulary.vocabulary import Vocabulary

ONE_THREAD = ComputeConfig(device="cpu", num_threads=1)


def _sequences(data: SiteData) -> dict[int, tuple[bytes, ...]]:
    store = data.store
    return {
        int(subject): tuple(
            array[begin:end].tobytes()
            for array in (store.tokens, store.times, store.hours, store.visits)
        )
        for subject, begin, end in zip(
            store.subject_ids, store.offsets[:-1], store.offsets[1:], strict=True
        )
    }


@pytest.fixture
def open_site(
    finished_study: Any, copied_hospitals: Any, make_study: Callable[..., Any], tmp_path: Path
) -> Callable[[], SiteData]:
    """The largest site of a study that has run, with the work folder that it left."""
    site = copied_hospitals.sites[0]
    shutil.copytree(finished_study.work / site.name, tmp_path / "work")
    location = SiteLocation(site.name, site, tmp_path / "work", 5, ONE_THREAD)
    text = (location.work / "vocabulary.json").read_text(encoding="utf-8")
    return lambda: SiteData(location, make_study(), Vocabulary.from_json(text))


def test_the_stores_of_a_study_go_and_come_back_without_them(
    open_site: Callable[[], SiteData],
    copied_hospitals: Any,
    tmp_path: Path,
    subjects_of: Any,
    erase: Any,
) -> None:
    before = _sequences(open_site())
    labels = open_site().examples("train")
    assert (tmp_path / "work" / "tokens") in find_caches(tmp_path / "work")
    site = copied_hospitals.sites[0]
    listed = tmp_path / "leaving.txt"
    gone = [int(subject) for subject in subjects_of(site)[5:25]]
    listed.write_text("\n".join(map(str, gone)))
    erase(site.path, "--work", tmp_path / "work", "--from", listed, "--yes")
    assert find_caches(tmp_path / "work") == []
    after = _sequences(open_site())
    assert after == {subject: tokens for subject, tokens in before.items() if subject not in gone}
    assert 0 < len(open_site().examples("train")) < len(labels)


def test_a_store_in_the_making_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / ".tokens.lock").open("a") as builder:
        fcntl.flock(builder, fcntl.LOCK_EX)
        removing = threading.Thread(target=remove_caches, args=(tmp_path,))
        removing.start()
        time.sleep(0.2)
        (tmp_path / "tokens").mkdir()
        np.save(tmp_path / "tokens" / "subject_ids.npy", np.arange(3))
        (tmp_path / "tokens" / "manifest.json").write_text("{}")
        assert removing.is_alive()
    removing.join(10)
    assert not (tmp_path / "tokens").exists()
