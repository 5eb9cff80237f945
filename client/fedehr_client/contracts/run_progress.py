"""`RunProgress`: how far one run of a contract has come, and what may come next.

Pure: tests drive it through any order of messages. A round is bound to the first content that is
asked for, before any work for it begins: whatever a crash leaves, no second one is answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedehr_shared.contract.study_contract import StudyContract
from fedehr_shared.errors import ContractError
from fedehr_shared.wire.work import PHASES, Phase, WorkId


@dataclass(frozen=True)
class RunProgress:
    """One run; what it was asked last.

    Attributes:
        run_id: the engine's.
        began: when its first request came, in UTC.
        phase: of the round that was asked last.
        round: of that phase.
        request_digest: what that round is bound to.
        attempt: the latest of that round.
        num_failed_attempts: of that round; they were answered by an error that is no waiting.
        is_answered: whether that round's answer has left.
        num_asked: rounds asked, this one included.
        num_answered: of these, rounds whose answer has left.
        vocabulary_digest: of all rounds of training; empty before the first of them.
        num_tokens: of that vocabulary.
    """

    run_id: int
    began: str
    phase: Phase
    round: int
    request_digest: str
    attempt: int = 1
    num_failed_attempts: int = 0
    is_answered: bool = False
    num_asked: int = 1
    num_answered: int = 0
    vocabulary_digest: str = ""
    num_tokens: int = 0

    def is_at(self, work_id: WorkId) -> bool:
        """Whether its latest round is this one."""
        return (self.phase, self.round) == (work_id.phase, work_id.round)

    def answered(self) -> "RunProgress":
        """With its latest round's answer gone; the same where that was known."""
        if self.is_answered:
            return self
        return replace(self, is_answered=True, num_answered=self.num_answered + 1)

    def failed(self, attempt: int) -> "RunProgress":
        """With an attempt at its latest round used up."""
        return replace(self, num_failed_attempts=max(self.num_failed_attempts, attempt))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunProgress":
        """Read what `dataclasses.asdict` gave.

        Raises:
            TypeError, ValueError: it is none.
        """
        read = cls(**values)
        if read.phase not in PHASES or type(read.run_id) is not int or type(read.round) is not int:
            raise ValueError("no phase, round or run of that kind")
        return read


@dataclass(frozen=True)
class AskedRound:
    """A request as far as the order of a run goes.

    Attributes:
        run_id: the engine's.
        work_id: phase, round and attempt.
        request_digest: of its content.
        vocabulary_digest: that it names; empty in the vocabulary phase.
        num_tokens: of that vocabulary.
        time: now, in UTC.
    """

    run_id: int
    work_id: WorkId
    request_digest: str
    vocabulary_digest: str = ""
    num_tokens: int = 0
    time: str = ""


def with_round(
    runs: Sequence[RunProgress], asked: AskedRound, contract: StudyContract
) -> tuple[RunProgress, ...]:
    """The runs of a contract once it is asked for a round; the same where it is asked again.

    Args:
        runs: so far, the oldest first; the last one is the one that may go on.
        asked: the round.
        contract: how many runs and rounds there are.

    Raises:
        ContractError: the contract does not allow it.
    """
    _require_round(asked.work_id, contract)
    current = runs[-1] if runs else None
    if current is None or current.run_id != asked.run_id:
        return (*runs, _new_run(runs, asked, contract))
    return (*runs[:-1], _next_round(current, asked, contract))


def _require_round(work_id: WorkId, contract: StudyContract) -> None:
    num_rounds = contract.rounds.get(work_id.phase, 0)
    if not 1 <= work_id.round <= num_rounds:
        raise ContractError(
            f"round {work_id.round} of {work_id.phase} was asked, and the contract has "
            f"{num_rounds}."
        )
    most = contract.study.federation.max_attempts
    if not 1 <= work_id.attempt <= most:
        raise ContractError(
            f"attempt {work_id.attempt} of a round was asked, and the contract has {most}."
        )


def _new_run(
    runs: Sequence[RunProgress], asked: AskedRound, contract: StudyContract
) -> RunProgress:
    if any(run.run_id == asked.run_id for run in runs):
        raise ContractError(
            f"run {asked.run_id} of the study is over: run {runs[-1].run_id} began after it."
        )
    if len(runs) >= contract.num_runs:
        raise ContractError(
            f"run {asked.run_id} would be one more than the {contract.num_runs} that the contract "
            "allows. The coordinator has to sign a new contract."
        )
    work_id = asked.work_id
    if not runs and work_id.phase != "vocabulary":
        # A later run may go on from a checkpoint of an earlier one.
        raise ContractError(
            f"the study's first run begins with {work_id.phase}, and not with vocabulary."
        )
    return RunProgress(
        run_id=asked.run_id,
        began=asked.time,
        phase=work_id.phase,
        round=work_id.round,
        request_digest=asked.request_digest,
        attempt=work_id.attempt,
        vocabulary_digest=asked.vocabulary_digest,
        num_tokens=asked.num_tokens,
    )


def _next_round(run: RunProgress, asked: AskedRound, contract: StudyContract) -> RunProgress:
    work_id = asked.work_id
    if run.is_at(work_id):
        return _asked_again(run, asked)
    if _place(work_id.phase, work_id.round) < _place(run.phase, run.round):
        raise ContractError(
            f"round {work_id.round} of {work_id.phase} was asked after round {run.round} of "
            f"{run.phase}: a run does not go back."
        )
    if run.vocabulary_digest and asked.vocabulary_digest != run.vocabulary_digest:
        raise ContractError("the run has changed its vocabulary after training with another one.")
    return replace(
        run,
        phase=work_id.phase,
        round=work_id.round,
        request_digest=asked.request_digest,
        attempt=work_id.attempt,
        num_failed_attempts=0,
        is_answered=False,
        num_asked=run.num_asked + 1,
        vocabulary_digest=asked.vocabulary_digest,
        num_tokens=asked.num_tokens,
    )


def _asked_again(run: RunProgress, asked: AskedRound) -> RunProgress:
    work_id = asked.work_id
    if asked.request_digest != run.request_digest:
        raise ContractError(
            f"round {work_id.round} of {work_id.phase} was asked with another content than before."
        )
    if work_id.attempt <= run.num_failed_attempts:
        raise ContractError(
            f"attempt {work_id.attempt} at round {work_id.round} of {work_id.phase} was used up."
        )
    return replace(run, attempt=max(run.attempt, work_id.attempt))


def _place(phase: Phase, round_number: int) -> tuple[int, int]:
    return PHASES.index(phase), round_number
