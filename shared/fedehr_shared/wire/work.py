"""`Work`: what the coordinator asks of a site in one round."""

from dataclasses import dataclass
from typing import Literal, get_args

from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.wire.payload import Arrays, Payload, Values

Phase = Literal["vocabulary", "pretraining", "finetuning", "evaluation"]
PHASES: tuple[Phase, ...] = get_args(Phase)
_MOST_DIGITS = 9


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

    `model` and `moments` are absent in the vocabulary phase; `vocabulary_json` is there in
    the first round of a phase and whenever a site is asked again.
    """

    id: WorkId
    study: StudyConfig
    model: Arrays | None = None
    moments: Arrays | None = None
    vocabulary_digest: str = ""
    vocabulary_json: str = ""

    def to_payload(self) -> Payload:
        """The records of `docs/protocol.md`."""
        work: Values = {"work_id": str(self.id), "study": self.study.to_json()}
        if self.vocabulary_digest:
            work["vocabulary_digest"] = self.vocabulary_digest
        if self.vocabulary_json:
            work["vocabulary"] = self.vocabulary_json
        arrays = {"model": self.model, "moments": self.moments}
        return Payload(
            arrays={name: record for name, record in arrays.items() if record is not None},
            values={"work": work},
        )

    @classmethod
    def from_payload(cls, payload: Payload) -> "Work":
        """Read a request.

        Raises:
            WireError: a record is missing or wrong, the digest is not the study's, or the study
                has no such round.
            ConfigError: the study is not valid here.
        """
        unknown = (set(payload.arrays) - {"model", "moments"}) | (set(payload.values) - {"work"})
        if unknown:
            raise WireError(f"the request holds unknown records {sorted(unknown)}.")
        work_id = WorkId.parse(payload.text("work", "work_id"))
        study = StudyConfig.from_json(payload.text("work", "study"))
        if study.digest != work_id.digest:
            raise WireError("the study in the message is not the one that its digest names.")
        if not 1 <= work_id.round <= study.num_rounds(work_id.phase):
            raise WireError(f"the study has no round {work_id.round} of {work_id.phase}.")
        given = payload.values["work"]
        return cls(
            id=work_id,
            study=study,
            model=payload.arrays.get("model"),
            moments=payload.arrays.get("moments"),
            vocabulary_digest=str(given.get("vocabulary_digest", "")),
            vocabulary_json=str(given.get("vocabulary", "")),
        )
