"""`StudyRun`: carries out what the state machine asks, phase by phase, and keeps the record."""

from pathlib import Path
from typing import Any

from fedehr_server.checkpoint import CheckpointFolder
from fedehr_server.model_shelf import ModelShelf, PretrainedModel, reused_model
from fedehr_server.phases.adapters import adapter_aggregation
from fedehr_server.phases.evaluation import EvaluationPhase
from fedehr_server.phases.model_state import (
    ModelState,
    first_finetuning_state,
    first_pretraining_state,
    reused_state,
)
from fedehr_server.phases.task_weights import DynamicWeights
from fedehr_server.phases.training import (
    TrainingRound,
    answered_names,
    travelling_moments,
    withheld_numbers,
)
from fedehr_server.phases.vocabulary import VocabularyPhase
from fedehr_server.privacy.run_privacy import RunPrivacy
from fedehr_server.progress import ProgressLog, write_json
from fedehr_server.training_record import TrainingRecord
from fedehr_server.vocabulary_shelf import VocabularyShelf
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.errors import WireError
from fedehr_shared.model.digest import digest_of
from fedehr_shared.model.heads.task_parts import TaskParts
from fedehr_shared.vocabulary.vocabulary import Vocabulary
from fedehr_shared.wire.codec.rounding import rounded
from fedehr_shared.wire.payload import Arrays, Payload
from fedehr_shared.wire.task_balance import TaskBalance
from fedehr_shared.wire.work import Work, WorkId


class StudyRun:
    """The state of one run: vocabulary, weights, the round that is open."""

    def __init__(
        self,
        study: StudyConfig,
        folder: Path,
        log: ProgressLog,
        shelf: VocabularyShelf | None = None,
        models: ModelShelf | None = None,
    ) -> None:
        self._study = study
        self._folder = folder
        self._log = log
        self._checkpoints = CheckpointFolder(folder / "checkpoints")
        self._shelf = shelf
        self._models = models
        self._vocabulary_phase = VocabularyPhase(study)
        self._evaluation = EvaluationPhase(study)
        self._task_weights = DynamicWeights(study)
        self._vocabulary: Vocabulary | None = None
        self._state: ModelState | None = None
        self._round: TrainingRound | None = None
        self._round_began = 0.0
        # A round's requests hold the same tensors for every site.
        self._encoded: dict[str, bytes] = {}
        self.pretraining_loss: list[float | None] = []
        self.pretrained_model = study.pretraining.reuse
        self.sites: list[str] = []
        self.missing: list[dict[str, Any]] = []
        self.privacy: dict[str, dict[str, float]] = {}
        self.back_off: dict[str, dict[str, float | None]] = {}
        self.training = TrainingRecord()
        self._privacy = RunPrivacy(study)

    def open(self, work: WorkId, num_sites: int) -> None:
        """Begin a round."""
        self._round_began = self._log.seconds
        self._encoded = {}
        if work.round == 1:
            self._log.write(
                "phase",
                phase=work.phase,
                round=0,
                num_rounds=self._study.num_rounds(work.phase),
                num_answers=num_sites,
            )
        if work.phase == "vocabulary":
            self._privacy.begin(num_sites)
            self._vocabulary_phase.open(self._shelf)
            reused_model(self._study, self._models)
        if work.phase in {"pretraining", "finetuning"}:
            self._state = self._state_for(work)
            self._round = self._open_training(work, self._state)

    @property
    def training_privacy(self) -> dict[str, Any]:
        """What training has cost each unit so far; empty without noise."""
        return self._privacy.summary(self.training.summary)

    @property
    def num_tokens(self) -> int:
        """Of the vocabulary; 0 before there is one."""
        return 0 if self._vocabulary is None else self._vocabulary.num_tokens

    @property
    def model_digest(self) -> str:
        """Of all weights as they stand; empty before there are any."""
        return "" if self._state is None else digest_of(self._state.all_weights)

    @property
    def base_digest(self) -> str:
        """Of the weights that a site must hold already; empty where there are none."""
        return "" if self._state is None else self._state.base.digest

    def work(self, work_id: WorkId, *, again: bool, with_base: bool) -> Payload:
        """The request for one site.

        Args:
            work_id: which work.
            again: send the vocabulary once more.
            with_base: send the weights that no round trains.
        """
        if work_id.phase == "vocabulary":
            return self._vocabulary_phase.work(work_id).to_payload()
        vocabulary, state = self._prepared()
        first_round = work_id.round == 1 and work_id.phase != "evaluation"
        return Work(
            id=work_id,
            study=self._study,
            model=state.weights,
            moments=None if work_id.phase == "evaluation" else state.moments,
            base=state.base.tensors if with_base and state.base.digest else None,
            base_digest=state.base.digest,
            fold=state.base.fold,
            fold_from=state.base.fold_from,
            balance=self._balance(work_id),
            vocabulary_digest=vocabulary.digest,
            vocabulary_json=vocabulary.to_json() if first_round or again else "",
        ).to_payload(self._encoded)

    def accept(self, work: WorkId, payload: Payload) -> str:
        """Take an answer; the site's name.

        Raises:
            WireError: the answer is malformed; nothing of it was used.
        """
        if work.phase == "vocabulary":
            return self._vocabulary_phase.accept(payload)
        if work.phase == "evaluation":
            return self._evaluation.accept(payload)
        if self._round is None:
            raise WireError("an update came while no training round was open.")
        return self._round.accept(payload)

    def close(
        self, work: WorkId, num_answers: int, missing: list[str], moved: tuple[int, int]
    ) -> None:
        """End a round: add up, keep a checkpoint, tell the log.

        Args:
            work: the round.
            num_answers: how many sites' answers count.
            missing: who was asked and does not count, each with its code.
            moved: the round's bytes up and down.

        Raises:
            TooFewSubjectsError: no vocabulary could be built.
        """
        self.missing += [
            {"phase": work.phase, "round": work.round, "site": told} for told in missing
        ]
        numbers: dict[str, Any] = {"loss": None, "auroc": None}
        if work.phase == "vocabulary":
            self._close_vocabulary()
        elif work.phase == "evaluation":
            write_json(self._folder / "evaluation.json", self._evaluation.close())
        else:
            numbers = self._close_training(work)
        self._log.write(
            "round",
            phase=work.phase,
            round=work.round,
            num_rounds=self._study.num_rounds(work.phase),
            num_answers=num_answers,
            missing=missing,
            **numbers,
            bytes_up=moved[0],
            bytes_down=moved[1],
            seconds=round(self._log.seconds - self._round_began, 3),
        )

    def _close_vocabulary(self) -> None:
        self._vocabulary = self._vocabulary_phase.close()
        self.privacy = self._vocabulary_phase.privacy
        if self._shelf is not None:
            self._shelf.keep(self._vocabulary)
        (self._folder / "vocabulary.json").write_text(self._vocabulary.to_json() + "\n")
        num_tokens, reused = self._vocabulary.num_tokens, reused_model(self._study, self._models)
        self._state = (
            first_pretraining_state(self._study, num_tokens)
            if reused is None
            else reused_state(self._study, num_tokens, reused)
        )

    def _close_training(self, work: WorkId) -> dict[str, Any]:
        vocabulary, _ = self._prepared()
        if self._round is None:
            raise WireError("a training round closed that was never opened.")
        done, self._round = self._round, None
        self._state = done.close()
        if (work.phase, work.round) == ("finetuning", self._study.finetuning.rounds):
            # The model that is kept is the one that sites evaluate, bit for bit.
            self._state = self._state.rounded(self._rounded)
        self.sites = sorted(done.sites)
        self.back_off |= done.back_off
        self._checkpoints.save(work, self._state, vocabulary.digest)
        self.training.add(work.phase, done.done)
        numbers = {"loss": done.loss, "auroc": None, **done.means, "sites": done.done}
        numbers |= self._privacy.epsilon_after(work)
        if done.aggregation_error is not None:
            numbers["aggregation_error"] = done.aggregation_error
        if work.phase == "finetuning":
            self._task_weights.add([own.metrics for _, own in sorted(done.sites.items())])
        if work.phase == "pretraining":
            self.pretraining_loss.append(done.loss)
            if work.round == self._study.pretraining.rounds:
                self._keep_model(self._state, vocabulary)
            return numbers
        return {**numbers, "auroc": done.tuning_auroc(self._study.finetuning.tasks)}

    def _open_training(self, work: WorkId, state: ModelState) -> TrainingRound:
        declared = self._vocabulary_phase.num_subjects
        central = self._privacy.open_round(work)
        return TrainingRound(
            state,
            answered_names(self._study, work, state),
            declared,
            travelling_moments(self._study, work, state),
            None
            if central is not None
            else adapter_aggregation(
                self._study,
                work,
                state,
                total_weight=sum(declared.values()),
                rounded=self._rounded,
            ),
            self._rounded,
            TaskParts.of(self._study) if work.phase == "finetuning" else None,
            self._study.exchange,
            self._vocabulary_phase.num_labels if work.phase == "finetuning" else {},
            withheld_numbers(self._study, work.phase),
            central,
        )

    def _balance(self, work: WorkId) -> TaskBalance:
        if work.phase != "finetuning":
            return TaskBalance()
        return TaskBalance(self._task_weights.weights, self._vocabulary_phase.class_shares)

    def _rounded(self, tensors: Arrays) -> Arrays:
        """Tensors as sites receive them."""
        return rounded(tensors, self._study.exchange.state_dtype)

    def _state_for(self, work: WorkId) -> ModelState:
        vocabulary, state = self._prepared()
        if work.phase == "finetuning" and work.round == 1:
            # A site's label counts have no noise that covers a site: heads begin at zero then.
            is_central = self._study.privacy.mechanism == "central"
            biases = () if is_central else self._vocabulary_phase.first_biases
            return first_finetuning_state(
                self._study, vocabulary.num_tokens, state, biases, self._rounded
            )
        return state

    def _keep_model(self, state: ModelState, vocabulary: Vocabulary) -> None:
        if self._models is not None:
            heads = self._study.model.heads
            model = PretrainedModel.of(state.weights, vocabulary.digest, heads)
            self.pretrained_model = self._models.keep(model)

    def _prepared(self) -> tuple[Vocabulary, ModelState]:
        if self._vocabulary is None or self._state is None:
            raise WireError("training began before the vocabulary was there.")
        return self._vocabulary, self._state
