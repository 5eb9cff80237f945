"""`Work`: what the coordinator asks of a site in one round."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from fedehr_shared.config.exchange import WireDtype
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.wire.codec.record import decode, encode
from fedehr_shared.wire.payload import Arrays, Payload, Values
from fedehr_shared.wire.task_balance import TaskBalance

Phase = Literal["vocabulary", "pretraining", "finetuning", "evaluation"]
PHASES: tuple[Phase, ...] = get_args(Phase)
_MOST_DIGITS = 9
_RECORDS = {"model", "moments", "base", "fold"}
_VALUES = {"work", "tasks", "contract"}
"""A signed contract is for the site's gate, which has read it before work is."""


@dataclass(frozen=True)
class WorkId:
    """Names one piece of work; the same for every site of a round."""

    digest: str
    phase: Phase
    round: int
    attempt: int

    def __str__(self) -> str:
        """`digest/phase/round/attempt`; the round counts from 1."""
        return f"{self.digest}/{self.phase}/{self.round}/{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> "WorkId":
        """Read what `str` wrote.

        Raises:
            WireError: the text is no work id.
        """
        parts = text.split("/")
        if len(parts) != 4 or parts[1] not in PHASES or not all(map(_is_number, parts[2:])):
            raise WireError("a message holds no valid work id. Use the same fedehr version.")
        phase = next(name for name in PHASES if name == parts[1])
        return cls(parts[0], phase, int(parts[2]), int(parts[3]))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


@dataclass(frozen=True)
class Work:
    """One request.

    Attributes:
        id: which work.
        study: the whole study.
        model: the weights that every round carries; absent in the vocabulary phase.
        moments: averaged moments, where the study has them.
        base: the weights that no round trains: there until a site holds them.
        base_digest: names them; empty where every weight is trained.
        fold: low-rank changes that turn the base `fold_from` into `base_digest`.
        fold_from: the base of the round before.
        balance: what the tasks' losses weigh; of itself where the study settles it.
        vocabulary_digest: names the vocabulary.
        vocabulary_json: its text, in the first round of a phase and when a site is asked again.
    """

    id: WorkId
    study: StudyConfig
    model: Arrays | None = None
    moments: Arrays | None = None
    base: Arrays | None = None
    base_digest: str = ""
    fold: Arrays | None = None
    fold_from: str = ""
    balance: TaskBalance = field(default_factory=TaskBalance)
    vocabulary_digest: str = ""
    vocabulary_json: str = ""

    def to_payload(self, encoded: dict[str, bytes] | None = None) -> Payload:
        """The records of `docs/protocol.md`.

        Args:
            encoded: records of the same round for other sites, which are taken as they are; what
                is encoded here is put there.
        """
        work: Values = {"work_id": str(self.id), "study": self.study.to_json()}
        texts = {
            "vocabulary_digest": self.vocabulary_digest,
            "vocabulary": self.vocabulary_json,
            "base_digest": self.base_digest,
            "fold_from": self.fold_from,
        }
        work |= {key: text for key, text in texts.items() if text}
        arrays = {
            "model": self.model,
            "moments": self.moments,
            "base": self.base,
            "fold": self.fold,
        }
        tasks = self.balance.to_values()
        encoded = {} if encoded is None else encoded
        there = {name: record for name, record in arrays.items() if record is not None}
        for name in there.keys() - encoded.keys():
            encoded[name] = self._encode(name, there[name])
        return Payload(
            tensors={name: encoded[name] for name in there},
            values={"work": work, "tasks": tasks} if tasks else {"work": work},
        )

    def _encode(self, name: str, record: Arrays) -> bytes:
        compress = self.study.exchange.compress
        return encode(record, _dtype(self.study, name), compress=compress)

    @classmethod
    def from_payload(cls, payload: Payload) -> "Work":
        """Read a request.

        Raises:
            WireError: a record is missing or wrong, the digest is not the study's, or the study
                has no such round.
            ConfigError: the study is not valid here.
        """
        unknown = (set(payload.tensors) - _RECORDS) | (set(payload.values) - _VALUES)
        if unknown:
            raise WireError(f"the request holds unknown records {sorted(unknown)}.")
        work_id = WorkId.parse(payload.text("work", "work_id"))
        study = StudyConfig.from_json(payload.text("work", "study"))
        if study.digest != work_id.digest:
            raise WireError("the study in the message is not the one that its digest names.")
        if not 1 <= work_id.round <= study.num_rounds(work_id.phase):
            raise WireError(f"the study has no round {work_id.round} of {work_id.phase}.")
        given = payload.values["work"]
        arrays = {
            name: decode(record, dtype=_dtype(study, name))
            for name, record in payload.tensors.items()
        }
        return cls(
            id=work_id,
            study=study,
            model=arrays.get("model"),
            moments=arrays.get("moments"),
            base=arrays.get("base"),
            base_digest=str(given.get("base_digest", "")),
            fold=arrays.get("fold"),
            fold_from=str(given.get("fold_from", "")),
            balance=_balance(payload, work_id, study),
            vocabulary_digest=str(given.get("vocabulary_digest", "")),
            vocabulary_json=str(given.get("vocabulary", "")),
        )


def _dtype(study: StudyConfig, record: str) -> WireDtype:
    """A base that rounds add to is no more one that fewer than 32 bits hold."""
    if record == "base" and study.finetuning.tuning == "lora" and study.lora.restarts:
        return "fp32"
    return study.exchange.state_dtype


def _balance(payload: Payload, work_id: WorkId, study: StudyConfig) -> TaskBalance:
    """What a round of fine-tuning is told of its tasks; no other phase has any."""
    values = payload.values.get("tasks", {})
    if work_id.phase == "finetuning":
        return TaskBalance.from_values(values, study)
    if values:
        raise WireError("the request tells of tasks in a phase that does not train them.")
    return TaskBalance()
