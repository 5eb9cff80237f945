"""`RequestParts`: what a request for work names, once it is known to hold nothing else."""

import hashlib
import json
from dataclasses import dataclass

from fedehr_shared.contract.requests import CONTRACT
from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError, WireError
from fedehr_shared.model.parameter_shapes import base_shapes
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.payload import Payload
from fedehr_shared.wire.task_balance import TaskBalance
from fedehr_shared.wire.work import WorkId

_TENSORS = {"model", "moments", "base", "fold"}
_VALUES = {"work", "tasks", CONTRACT}
_KEYS = {
    "work_id", "study", "vocabulary_digest", "vocabulary", "base_digest", "fold_from", CONTRACT,
}  # fmt: skip
_SHA256_CHARACTERS = 64
_DIGITS = frozenset("0123456789abcdef")
_MOST_VOCABULARY_CHARACTERS = 64_000_000


@dataclass(frozen=True)
class RequestParts:
    """The texts of a request, each as it must be.

    Attributes:
        work_id: phase, round and attempt.
        vocabulary_digest: empty in the vocabulary phase.
        vocabulary_text: empty where it was not sent along.
        base_digest: empty where the study has no base.
        fold_from: the base's digest before the last round; empty where that did not change it.
    """

    work_id: WorkId
    vocabulary_digest: str
    vocabulary_text: str
    base_digest: str
    fold_from: str

    @classmethod
    def of(cls, request: Payload, contract: StudyContract) -> "RequestParts":
        """Read a request that is asked under a contract.

        Raises:
            ContractError: it is of another study, or holds what no request holds.
            WireError: it lacks something.
        """
        _require_known(request)
        work_id = WorkId.parse(request.text("work", "work_id"))
        _require_study(request, work_id, contract)
        _require_tasks(request, work_id, contract)
        parts = cls(
            work_id,
            _text(request, "vocabulary_digest"),
            _text(request, "vocabulary"),
            _text(request, "base_digest"),
            _text(request, "fold_from"),
        )
        parts._require_of_phase(contract)
        return parts

    def content_digest(self, request: Payload, contract_digest: str) -> str:
        """Names all that the answer follows from.

        Left out is what another part names: the attempt, the texts of contract and vocabulary,
        the base and its fold, all of which are sent along only where they are needed.
        """
        named = {
            "contract": contract_digest,
            "phase": self.work_id.phase,
            "round": self.work_id.round,
            "vocabulary": self.vocabulary_digest,
            "base": self.base_digest,
            "tasks": request.values.get("tasks", {}),
            "tensors": {
                name: hashlib.sha256(request.tensors[name]).hexdigest()
                for name in ("model", "moments")
                if name in request.tensors
            },
        }
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()

    def num_tokens(self, contract: StudyContract) -> int | None:
        """Of the vocabulary, where the request holds it.

        Raises:
            ContractError: it is not the one named, or has more tokens than the contract allows.
            WireError: it is none.
        """
        if not self.vocabulary_text:
            return None
        if len(self.vocabulary_text) > _MOST_VOCABULARY_CHARACTERS:
            raise ContractError("the request's vocabulary is longer than any. It was not read.")
        try:
            vocabulary = Vocabulary.from_json(self.vocabulary_text)
        except (OverflowError, RecursionError) as error:
            raise ContractError("the request's vocabulary is none. It was not read.") from error
        if vocabulary.digest != self.vocabulary_digest:
            raise ContractError("the request's vocabulary is not the one that its digest names.")
        if vocabulary.num_tokens > contract.max_tokens:
            raise ContractError(
                f"the request's vocabulary has {vocabulary.num_tokens:,} tokens, and the contract "
                f"allows {contract.max_tokens:,}."
            )
        return vocabulary.num_tokens

    def _require_of_phase(self, contract: StudyContract) -> None:
        if self.work_id.phase == "vocabulary":
            if any(
                (self.vocabulary_digest, self.vocabulary_text, self.base_digest, self.fold_from)
            ):
                raise ContractError("the request names a vocabulary or a base before there is one.")
            return
        reused = contract.study.vocabulary.reuse
        if not _is_sha256(self.vocabulary_digest) or reused not in {"", self.vocabulary_digest}:
            raise ContractError("the request names no vocabulary, or another than the study's.")
        has_base = bool(base_shapes(contract.study, self.work_id.phase, num_tokens=1))
        if has_base != bool(self.base_digest):
            raise ContractError(
                "the request names a base that the study's model has not, or lacks one."
            )
        study = contract.study
        folds = has_base and study.finetuning.tuning == "lora" and study.lora.restarts
        if self.fold_from and not folds:
            raise ContractError("the request names a fold, and the study folds nothing.")
        if any(text and not _is_sha256(text) for text in (self.base_digest, self.fold_from)):
            raise ContractError("the request names its base by no digest.")


def _require_known(request: Payload) -> None:
    unknown = sorted(
        (set(request.tensors) - _TENSORS)
        | (set(request.values) - _VALUES)
        | {f"work.{key}" for key in set(request.values.get("work", {})) - _KEYS}
    )
    if unknown:
        raise ContractError(f"the request holds {_short(unknown)}, which no contract has.")


def _require_study(request: Payload, work_id: WorkId, contract: StudyContract) -> None:
    """Byte for byte: two texts of one meaning are not both what was signed."""
    study = contract.study
    if work_id.digest != study.digest:
        raise ContractError(
            f"the request is of study {work_id.digest[:12]}, and its contract of "
            f"{study.digest[:12]} ('{study.name}')."
        )
    if request.text("work", "study") != study.to_json():
        raise ContractError(
            f"the request's study is not the one that was approved, though it goes by the same "
            f"digest {study.digest[:12]}."
        )


def _require_tasks(request: Payload, work_id: WorkId, contract: StudyContract) -> None:
    values = request.values.get("tasks", {})
    if work_id.phase != "finetuning":
        if values:
            raise ContractError("the request tells of tasks in a phase that does not train them.")
        return
    try:
        TaskBalance.from_values(values, contract.study)
    except WireError as error:
        raise ContractError(str(error)) from error


def _text(request: Payload, key: str) -> str:
    return request.text("work", key) if key in request.values["work"] else ""


def _is_sha256(text: str) -> bool:
    return len(text) == _SHA256_CHARACTERS and set(text) <= _DIGITS


def _short(names: list[str]) -> str:
    return ", ".join(f"'{name[:40]}'" for name in names[:3])
