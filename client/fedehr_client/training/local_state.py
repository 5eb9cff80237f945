"""`LocalState`: tensors that a site keeps from one round of a study to the next.

    <work>/local_state/<study>/<phase>-<round>.safetensors

A round starts from the newest state of an earlier one and writes its own. The state before it
stays, so that a round that is asked for again starts where it started, and answers the same.
"""

import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedehr_shared.errors import DataError
from fedehr_shared.tokens.build_lock import build_lock

log = logging.getLogger("fedehr.client")

FOLDER_NAME = "local_state"
_NUM_STUDIES_KEPT = 4
Tensors = dict[str, torch.Tensor]


class LocalState:
    """What one site keeps of one phase of one study."""

    def __init__(
        self,
        work: Path,
        study: str,
        phase: str,
        vocabulary: str,
        *,
        folder: str = FOLDER_NAME,
        num_studies: int | None = _NUM_STUDIES_KEPT,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            work: the site's private folder.
            study: the study's digest.
            phase: `pretraining` or `finetuning`.
            vocabulary: its digest: a study that is run again may agree on another one.
            folder: the name of the folder in `work`.
            num_studies: the latest studies that are kept; None: all.
        """
        self._root = work / folder
        self._num_studies = num_studies
        self._folder = self._root / study
        self._phase = phase
        self._vocabulary = vocabulary

    def before(self, round_number: int) -> Tensors | None:
        """The newest state of a round before this one, on the processor.

        None where there is none, or where it is damaged: a round then starts afresh, and the
        site's log says so.
        """
        earlier = [number for number in self._rounds() if number < round_number]
        if not earlier:
            if round_number > 1:
                log.warning(
                    "no state of %s before round %d is kept here: the round starts afresh",
                    self._phase, round_number,
                )  # fmt: skip
            return None
        file = self._file(max(earlier))
        try:
            return self._read(file)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            log.warning(
                "the state %s cannot be used (%s): round %d of %s starts afresh",
                file, error, round_number, self._phase,
            )  # fmt: skip
            return None

    def keep(self, round_number: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Write the state after a round, whole or not at all.

        What is older than the state before the round goes, as does what is of a later round (of
        a run that was broken off), of the study's other phases, and of all but the latest
        studies.

        Raises:
            DataError: it cannot be written.
        """
        file = self._file(round_number)
        partial = file.with_name(f".{file.stem}.partial.safetensors")
        try:
            # One process of the site at a time, and no erasure beside it.
            with build_lock(self._root):
                self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._folder.mkdir(mode=0o700, exist_ok=True)
                self._drop_partials()
                try:
                    self._write(partial, tensors)
                    partial.replace(file)
                finally:
                    partial.unlink(missing_ok=True)
                self._drop_others(round_number)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"cannot keep the round's state: {error}. Mend the permissions of {self._root} "
                "or free the disk; nothing was sent."
            ) from error

    def _rounds(self) -> list[int]:
        files = self._folder.glob(f"{self._phase}-*.safetensors")
        numbers = [file.stem.removeprefix(f"{self._phase}-") for file in files]
        return sorted(int(number) for number in numbers if number.isdigit())

    def _file(self, round_number: int) -> Path:
        return self._folder / f"{self._phase}-{round_number:05d}.safetensors"

    def _read(self, file: Path) -> Tensors:
        with safe_open(file, framework="pt") as opened:
            about = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if about.get("vocabulary") != self._vocabulary:
            raise ValueError("it is of another vocabulary")
        if about.get("crc32") != _checksum(tensors):
            raise ValueError("its checksum is wrong")
        return tensors

    def _write(self, partial: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        ready = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        about = {"vocabulary": self._vocabulary, "crc32": _checksum(ready)}
        # Made beforehand, so that nobody else can read it while it grows.
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        save_file(ready, partial, metadata=about)
        handle = os.open(partial, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _drop_partials(self) -> None:
        """What a process that was killed left half written, in any study."""
        for partial in self._root.glob("*/.*.safetensors"):
            partial.unlink()

    def _drop_others(self, round_number: int) -> None:
        earlier = [number for number in self._rounds() if number < round_number]
        wanted = {self._file(number) for number in (*earlier[-1:], round_number)}
        for file in self._folder.glob("[!.]*.safetensors"):
            if file not in wanted:
                file.unlink()
        if self._num_studies is None:
            return
        studies = [folder for folder in self._root.iterdir() if folder.is_dir()]
        studies.sort(key=lambda folder: folder.stat().st_mtime_ns)
        for folder in studies[: -self._num_studies]:
            shutil.rmtree(folder)


def forget_study(work: Path, study: str, *, folder: str = FOLDER_NAME) -> None:
    """Remove what a site keeps of a study: once it is over, and where it begins anew.

    Args:
        work: the site's private folder.
        study: the study's digest.
        folder: as in `LocalState`.

    Raises:
        DataError: it cannot be removed.
    """
    kept = work / folder / study
    if not kept.is_dir():
        return
    try:
        with build_lock(kept.parent):
            shutil.rmtree(kept)
    except OSError as error:
        raise DataError(
            f"cannot remove {kept}: {error.strerror}. Mend its permissions and start the study "
            "anew."
        ) from error


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    """CRC-32 over the tensors' bytes in order of their names: files damaged on disk are told."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].contiguous().numpy().data, crc)
    return f"{crc:08x}"
