"""How much of a subject's record one step gives away."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_client.answers.site_data import SiteData
from fedehr_client.privacy.mechanism import Mechanism
from fedehr_client.training.examples import Examples
from fedehr_shared.config.study import StudyConfig
from fedehr_shared.meds.schema import TRAIN
from fedehr_shared.model.heads.multitask import MultitaskLoss
from fedehr_shared.seeds import derive_generator
from fedehr_shared.tokens.collate import collate
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_shared.tokens.padded_labels import PaddedLabelledBatch
from fedehr_shared.vocabulary.vocabulary import SPECIAL_TOKENS
from fedehr_shared.wire.payload import Arrays
from fedehr_simulations.attacks.inversion.gradient_matching import matched_tokens
from fedehr_simulations.attacks.inversion.seen_update import SeenUpdate, seen_update
from fedehr_simulations.attacks.inversion.token_rows import row_sizes

_NUM_SPECIAL = len(SPECIAL_TOKENS)
NUM_SEARCH_STEPS = 200


@dataclass(frozen=True)
class Recovered:
    """Of one subject's distinct codes, the mean over the subjects that were tried.

    Attributes:
        precision: of the codes that the attacker names, the share that the subject has.
        recall: of the codes that the subject has, the share that the attacker names.
    """

    precision: float
    recall: float


class StepAttack:
    """One step of a site's fine-tuning on a few subjects, seen by an attacker."""

    def __init__(self, study: StudyConfig, data: SiteData, weights: Arrays) -> None:
        """`weights`: before the step, known to all."""
        self._study = study
        self._data = data
        self._weights = weights
        self._examples = data.examples(TRAIN)

    def by_rows(self, num_subjects: int, num_trials: int, mechanism: Mechanism | None) -> Recovered:
        """Read the rows of the tables that travel.

        Without noise the attacker names every token whose row moves. With noise all move: the
        attacker is told how many tokens the step holds, and names the rows that move most.

        Args:
            num_subjects: of the step; the first one is after whom the attacker is.
            num_trials: steps tried.
            mechanism: clipping and noise; None: none.
        """

        def named(labelled: PaddedLabelledBatch, seen: SeenUpdate) -> set[int]:
            sizes = row_sizes(seen.gradients)
            assert sizes is not None
            if mechanism is None:
                return _codes(torch.flatten(sizes.nonzero()))
            held = _codes(labelled.batch.tokens[labelled.batch.is_real])
            sizes[:_NUM_SPECIAL] = 0
            return _codes(sizes.topk(len(held)).indices)

        return self._mean(num_subjects, num_trials, mechanism, named)

    def by_matching(self, num_trials: int, mechanism: Mechanism | None) -> Recovered:
        """Search for the tokens of a step of one subject, from what travels beside the tables."""
        loss = MultitaskLoss(self._study)

        def named(labelled: PaddedLabelledBatch, seen: SeenUpdate) -> set[int]:
            def loss_of(logits: torch.Tensor) -> torch.Tensor:
                return loss.by_subject(logits, labelled.labels).sum()

            return _codes(matched_tokens(seen, labelled.batch, loss_of, NUM_SEARCH_STEPS, 0))

        return self._mean(1, num_trials, mechanism, named)

    def by_guessing(self, num_subjects: int, num_trials: int) -> Recovered:
        """Name the site's most frequent codes, as many as the step holds: no update is read."""
        counts = np.bincount(self._data.store.tokens, minlength=self._data.num_tokens)
        counts[:_NUM_SPECIAL] = 0
        order = np.argsort(-counts, kind="stable")
        found = []
        for trial in range(num_trials):
            labelled = self._step(num_subjects, trial)
            held = _codes(labelled.batch.tokens[labelled.batch.is_real])
            found.append(_shares(set(order[: len(held)].tolist()), _own_codes(labelled)))
        return _mean_of(found)

    def _mean(
        self,
        num_subjects: int,
        num_trials: int,
        mechanism: Mechanism | None,
        named: Callable[[PaddedLabelledBatch, SeenUpdate], set[int]],
    ) -> Recovered:
        found = []
        for trial in range(num_trials):
            labelled = self._step(num_subjects, trial)
            seen = seen_update(
                self._study, self._data.num_tokens, self._weights, labelled, mechanism
            )
            found.append(_shares(named(labelled, seen), _own_codes(labelled)))
        return _mean_of(found)

    def _step(self, num_subjects: int, trial: int) -> PaddedLabelledBatch:
        """The same subject is the first one whatever the number of others."""
        examples: Examples = self._examples
        order = derive_generator("attack", "step", trial).permutation(self._rows())
        rows = order[:num_subjects]
        batch = PaddedBatch.of(collate(self._data.store, examples.windows[rows]))
        return PaddedLabelledBatch(batch, torch.from_numpy(examples.labels[rows]))

    def _rows(self) -> NDArray[np.int64]:
        """One example a subject, of those with a few events at least."""
        _, first = np.unique(self._examples.subject_ids, return_index=True)
        windows = self._examples.windows
        lengths = windows.ends[first] - windows.begins[first]
        return np.asarray(first[lengths >= _LEAST_EVENTS], dtype=np.int64)


_LEAST_EVENTS = 4


def _codes(tokens: torch.Tensor) -> set[int]:
    return {token for token in tokens.tolist() if token >= _NUM_SPECIAL}


def _own_codes(labelled: PaddedLabelledBatch) -> set[int]:
    return _codes(labelled.batch.tokens[0, : labelled.batch.lengths[0]])


def _shares(named: set[int], own: set[int]) -> tuple[float, float]:
    right = len(named & own)
    return right / max(1, len(named)), right / len(own)


def _mean_of(shares: list[tuple[float, float]]) -> Recovered:
    precision, recall = np.mean(shares, axis=0)
    return Recovered(float(precision), float(recall))
