"""`BaseStore`: the weights that no round trains, kept at the site from round to round.

    <work>/base/<digest>.safetensors

They come with the first request that needs them, and again only where the site asks for them.
"""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fedehr_shared.errors import BaseMissingError, DataError, WireError
from fedehr_shared.model.digest import digest_of
from fedehr_shared.model.lora.fold import apply_fold, check_fold
from fedehr_shared.tokens.build_lock import build_lock
from fedehr_shared.wire.payload import Arrays
from fedehr_shared.wire.work import Work

FOLDER_NAME = "base"
_NUM_KEPT = 4
_DIGITS = frozenset("0123456789abcdef")


class BaseStore:
    """The latest few bases, of whatever studies."""

    def __init__(self, work: Path) -> None:
        """`work`: the site's private folder."""
        self._folder = work / FOLDER_NAME

    def of(self, work: Work) -> Arrays:
        """The base that a request names: from the request, from here, or from the one before it.

        Raises:
            BaseMissingError: the site has neither; the coordinator sends it.
            WireError: the digest is none or another's, or the fold does not fit the base.
            DataError: it cannot be kept.
        """
        digest = work.base_digest
        if not digest:
            return {}
        if not (_is_digest(digest) and (_is_digest(work.fold_from) or not work.fold_from)):
            raise WireError("the request names its frozen weights by no valid digest.")
        if work.base is not None:
            return self._keep(digest, work.base, is_content=not _is_folded(work))
        kept = self._take(digest)
        if kept is not None:
            return kept
        before = self._take(work.fold_from) if work.fold_from else None
        if before is None or work.fold is None:
            raise BaseMissingError("the site does not hold this study's frozen weights yet.")
        shapes = {name: value.shape for name, value in before.items()}
        check_fold(work.fold, shapes, work.study.lora)
        if digest_of(work.fold, work.fold_from) != digest:
            raise WireError("the fold is not the one that the request names. It was not used.")
        return self._keep(digest, apply_fold(before, work.fold))

    def _keep(self, digest: str, tensors: Arrays, *, is_content: bool = False) -> Arrays:
        content = digest_of(tensors)
        if is_content and content != digest:
            raise WireError("the frozen weights are not those of their digest. They were not used.")
        file = self._file(digest)
        partial = file.with_suffix(".partial")
        try:
            # One process of the site at a time: nobody removes what another one writes.
            with build_lock(self._folder):
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._drop_partials()
                ordered = {name: np.ascontiguousarray(value) for name, value in tensors.items()}
                save_file(ordered, partial, metadata={"content": content})
                partial.replace(file)
                self._drop_old()
        except (OSError, SafetensorError) as error:
            partial.unlink(missing_ok=True)
            raise DataError(
                f"cannot keep the study's frozen weights: {error}. Mend the permissions of "
                f"{self._folder} or free the disk; nothing was sent."
            ) from error
        return tensors

    def _take(self, digest: str) -> Arrays | None:
        """None where it is not here, or damaged: it is then sent again."""
        try:
            with safe_open(self._file(digest), framework="numpy") as opened:
                about = opened.metadata() or {}
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, ValueError):
            return None
        return tensors if about.get("content") == digest_of(tensors) else None

    def _drop_partials(self) -> None:
        """What a process that was killed left half written: each is as large as a model."""
        for partial in self._folder.glob("*.partial"):
            partial.unlink()

    def _drop_old(self) -> None:
        files = sorted(self._folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime_ns)
        for file in files[:-_NUM_KEPT]:
            file.unlink(missing_ok=True)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"


def _is_folded(work: Work) -> bool:
    """Whether rounds add to the base, whose digest then tells how it came about: no two
    machines need have the same last bits of it."""
    return work.study.finetuning.tuning == "lora" and work.study.lora.restarts


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= _DIGITS
