"""`KeptAnswer`: the answer of a private round, sent again byte for byte and never drawn anew.

    <work>/answers/<study>/<phase>-<round>.answer

Two draws for one round would tell more than one, and each is charged. So what a finished round
answered stays until the study asks for something else, and goes out again whenever the same
work is asked: the same weights, whatever the attempt, and whatever run of the study. It counts
only as long as all that the round left beside it (moments, remainders of rounding, the site's
own parts) is as it was, so that the next round goes on as after the first sending.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fedehr_client.private_file import write_private
from fedehr_client.training.error_feedback import FOLDER_NAME as ROUNDING_FOLDER
from fedehr_client.training.local_parts import ROUNDS_FOLDER
from fedehr_client.training.local_state import FOLDER_NAME as STATE_FOLDER
from fedehr_shared.errors import DataError
from fedehr_shared.model.digest import digest_of
from fedehr_shared.tokens.build_lock import build_lock
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.work import Work

log = logging.getLogger("fedehr.client")

FOLDER_NAME = "answers"
_SUFFIX = ".answer"
_NUM_STUDIES_KEPT = 4
_SIDES = (STATE_FOLDER, ROUNDING_FOLDER, ROUNDS_FOLDER)


class KeptAnswer:
    """The one answer that a site keeps of one study."""

    def __init__(self, work_folder: Path, work: Work, *, site: str) -> None:
        """Nothing is read or written yet.

        Args:
            work_folder: the site's private folder.
            work: what is asked.
            site: what at the site the answer rests on: it is not sent once that has changed.
        """
        self._work_folder = work_folder
        self._work = work
        self._root = work_folder / FOLDER_NAME
        self._folder = self._root / work.id.digest
        self._name = f"{work.id.phase}-{work.id.round:05d}"
        self._file = self._folder / f"{self._name}{_SUFFIX}"
        self._site = site

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process of the site at a time looks for an answer, draws it and keeps it."""
        with ExitStack() as stack:
            try:
                stack.enter_context(build_lock(self._root))
            except OSError as error:
                raise self._unwritable(error) from error
            yield

    def find(self) -> Payload | None:
        """The answer, where exactly this work was answered before; any other one goes.

        Raises:
            DataError: another one cannot be removed.
        """
        payload = self._read()
        if payload is None:
            self._remove([self._file])
        return payload

    def keep(self, answer: Payload) -> None:
        """Write the answer, whole or not at all, in place of any other of the study.

        Raises:
            DataError: it cannot be written; then it must not leave.
        """
        header = {
            "asked": self._asked(),
            "beside": self._beside(self._left_beside()),
            "values": answer.values,
            "tensors": {name: len(record) for name, record in answer.tensors.items()},
        }
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, _serialized(header, answer))
            self._drop_others()
        except OSError as error:
            raise self._unwritable(error) from error

    def forget_others(self) -> None:
        """Remove what is kept of the study's other rounds: they are over once this one is asked.

        Raises:
            DataError: it cannot be removed.
        """
        self._remove(self._others())

    def _read(self) -> Payload | None:
        try:
            content = self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the kept answer %s cannot be read (%s)", self._file, error.strerror)
            return None
        kept = _parsed(content)
        if kept is None:
            log.warning("the kept answer %s is damaged: the round is drawn anew", self._file)
            return None
        header, payload = kept
        is_same = header["asked"] == self._asked()
        return payload if is_same and header["beside"] == self._beside(header["beside"]) else None

    def _remove(self, files: list[Path]) -> None:
        try:
            for file in files:
                file.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _asked(self) -> str:
        """Names the work by all that its answer follows from."""
        work = self._work
        return digest_of(
            {f"model/{name}": value for name, value in (work.model or {}).items()}
            | {f"moments/{name}": value for name, value in (work.moments or {}).items()},
            work.id.digest,
            work.id.phase,
            str(work.id.round),
            work.base_digest,
            work.vocabulary_digest,
            repr(work.balance),
            self._site,
        )

    def _left_beside(self) -> list[str]:
        """The files that the round left, relative to the work folder."""
        files = [
            self._work_folder / folder / self._work.id.digest / f"{self._name}.safetensors"
            for folder in _SIDES
        ]
        return [str(file.relative_to(self._work_folder)) for file in files if file.is_file()]

    def _beside(self, names: Mapping[str, Any] | list[str]) -> dict[str, str]:
        """Their digests; a file that is gone has none."""
        files = {name: self._work_folder / name for name in names}
        return {name: _digest_of_file(file) for name, file in files.items()}

    def _others(self) -> list[Path]:
        return [file for file in self._folder.glob(f"*{_SUFFIX}") if file != self._file]

    def _drop_others(self) -> None:
        for file in self._others():
            file.unlink()
        studies = [folder for folder in self._root.iterdir() if folder.is_dir()]
        studies.sort(key=lambda folder: folder.stat().st_mtime_ns)
        for folder in studies[:-_NUM_STUDIES_KEPT]:
            shutil.rmtree(folder)

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"cannot keep the round's answer below {self._root}: {error.strerror}. Mend its "
            "permissions or free the disk; nothing was sent, what it cost stays charged."
        )


def _serialized(header: Mapping[str, object], answer: Payload) -> bytes:
    """A digest of the rest, the header, and the tensors' records one after the other."""
    rest = json.dumps(header).encode() + b"\n" + b"".join(answer.tensors.values())
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _parsed(content: bytes) -> tuple[dict[str, Any], Payload] | None:
    """None where any byte is not what was written."""
    digest, _, rest = content.partition(b"\n")
    if hashlib.sha256(rest).hexdigest().encode() != digest:
        return None
    text, _, body = rest.partition(b"\n")
    header = json.loads(text)
    tensors, begin = {}, 0
    for name, num_bytes in header["tensors"].items():
        tensors[name] = body[begin : begin + num_bytes]
        begin += num_bytes
    return header, Payload(tensors, header["values"])


def _digest_of_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
