"""Masked events: which positions of a batch are hidden, and what stands there instead."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedehr_shared.config.masking import MaskingConfig
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.budget import ranges_within
from fedehr_shared.tokens.draws import keyed_draws
from fedehr_shared.tokens.places import Places
from fedehr_shared.vocabulary.vocabulary import MASK, SPECIAL_TOKENS

_NUM_SPECIAL = len(SPECIAL_TOKENS)


@dataclass(frozen=True)
class MaskedBatch:
    """A batch with hidden positions.

    Attributes:
        batch: the stream as the model reads it.
        hidden: the hidden positions.
        targets: `[masked]` int64, the tokens that stood there.
        num_step_targets: hidden positions of the whole step that this is a piece of: the
            losses of its pieces add up to the mean over all of them.
    """

    batch: EventBatch
    hidden: Places
    targets: torch.Tensor
    num_step_targets: int

    @classmethod
    def of(cls, batch: EventBatch, positions: torch.Tensor, targets: torch.Tensor) -> "MaskedBatch":
        """A whole step's batch, on the CPU, with its hidden positions `[masked]`, rising."""
        return cls(batch, Places.of(positions, batch), targets, positions.numel())

    @property
    def positions(self) -> torch.Tensor:
        """The hidden positions, rising. `[masked]` int64."""
        return self.hidden.index

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds."""
        return self.batch.boundaries[-1]

    def split(self, token_budget: int | None, group: int = 1) -> list["MaskedBatch"]:
        """Pieces of at most `token_budget` tokens, or of one longer group; views, no copies.

        Args:
            token_budget: in tokens; None: all in one piece.
            group: sequences that must stay together.
        """
        ranges = ranges_within(self.batch.boundaries, token_budget, group)
        return [self._cut(sequences) for sequences in ranges]

    def _cut(self, sequences: range) -> "MaskedBatch":
        cuts = self.hidden.boundaries
        return MaskedBatch(
            self.batch.cut(sequences),
            self.hidden.cut(sequences, self.batch.boundaries[sequences.start]),
            self.targets[cuts[sequences.start] : cuts[sequences.stop]],
            self.num_step_targets,
        )

    def to(self, device: torch.device) -> "MaskedBatch":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return MaskedBatch(
            self.batch.to(device),
            self.hidden.to(device),
            self.targets.to(device, non_blocking=True),
            self.num_step_targets,
        )

    def pinned(self) -> "MaskedBatch":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return MaskedBatch(
            self.batch.pinned(),
            self.hidden.pinned(),
            self.targets.pin_memory(),
            self.num_step_targets,
        )


class EventMasker:
    """Hides a share of a batch's events, as the model's task (BERT, Devlin et al. 2019).

    - A *visit* is a hospital stay or, outside one, a calendar day. A *group* is what is hidden
      or shown together: with `hide_copies` all events of one code in one visit of a sequence,
      whatever their value bins; without it a single event.
    - In `whole_visit_share` of the sequences the visit of an event drawn at random is hidden
      whole, and nothing else of the sequence. Where that visit holds more than half of the
      sequence's events, too little would be left to tell it from: the sequence is masked by
      groups, as all others are.
    - The groups of the other sequences are hidden independently, each with the same chance:
      the one that makes the batch's expected share of hidden events `rate`, given its whole
      visits. So the rate holds whatever the sizes of groups and visits, as long as that chance
      lies between 0 and 1: whole visits alone may exceed the rate where it is below half of
      `whole_visit_share`, or in a batch of very few sequences.
    - `each_alone`: what is hidden in a sequence depends on no other of the batch, as differential
      privacy asks: the groups of every sequence without a whole visit have the chance `rate`, and
      each sequence with an event has a hidden one.
    - A hidden group shows `[MASK]` (`mask_share`), random tokens (`random_share`) or itself:
      one fate for all of it, lest one copy give away the others.
    - `[START]`, `[UNK]`, padding and a sex, which every position carries as a feature, are never
      hidden, nor counted as events here.
    """

    def __init__(
        self,
        config: MaskingConfig,
        code_of_token: NDArray[np.int64],
        is_maskable: NDArray[np.bool_],
        *,
        each_alone: bool = False,
    ) -> None:
        """Prepare for one vocabulary.

        Args:
            config: `[masking]` of the study.
            code_of_token: `[vocabulary]`, the number of each token's code.
            is_maskable: `[vocabulary]`, which tokens may be hidden, as `maskable_tokens` says.
            each_alone: whether no sequence's masks may depend on the others of its batch.
        """
        self._config = config
        self._each_alone = each_alone
        self._is_maskable = is_maskable
        self._code_of_token = code_of_token.astype(np.int64)
        self._num_tokens = int(code_of_token.size)

    @property
    def needs_episodes(self) -> bool:
        """Whether positions are hidden by visits, so that `mask` must be told them."""
        return self._config.hide_copies or self._config.whole_visit_share > 0

    def mask(
        self,
        batch: EventBatch,
        episodes: NDArray[np.int64] | None,
        generator: np.random.Generator,
    ) -> MaskedBatch:
        """Hide positions of `batch`; at least one where any may be (`each_alone`: one of each
        sequence).

        Args:
            batch: the stream; it stays as it is.
            episodes: `[tokens]`, the stay or day of each position, distinct within its
                sequence and within 32 bits; not read unless `needs_episodes`.
            generator: all draws come from it.
        """
        if batch.num_sequences == 0:
            return MaskedBatch.of(batch, batch.tokens, batch.tokens)
        tokens, cu_seqlens = batch.tokens.numpy(), batch.cu_seqlens.numpy()
        is_event = self._is_maskable.take(tokens)
        draws = self._draws(tokens, episodes, cu_seqlens, generator)
        hidden = is_event & self._hidden(draws, is_event, episodes, cu_seqlens, generator)
        if self._each_alone:
            hidden |= _first_of_unhidden(draws, is_event, hidden, cu_seqlens)
        elif not hidden.any() and is_event.any():
            hidden = is_event & (draws == draws[is_event].min())
        chosen = np.flatnonzero(hidden)
        shown = tokens.copy()
        shown[chosen] = self._shown(tokens[chosen], draws[chosen], generator)
        stream = replace(batch, tokens=torch.from_numpy(shown))
        targets = torch.from_numpy(tokens[chosen])
        return MaskedBatch.of(stream, torch.from_numpy(chosen), targets)

    def _draws(
        self,
        tokens: NDArray[np.int64],
        episodes: NDArray[np.int64] | None,
        cu_seqlens: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> NDArray[np.uint64]:
        """One draw a group, the same at all its positions. `[tokens]`."""
        if not self._config.hide_copies or episodes is None:
            return generator.integers(0, 2**64, tokens.size, dtype=np.uint64)
        seeds = generator.integers(0, 2**64, cu_seqlens.size - 1, dtype=np.uint64)
        groups = episodes << 32
        groups |= self._code_of_token.take(tokens)
        return keyed_draws(groups.view(np.uint64), np.repeat(seeds, np.diff(cu_seqlens)))

    def _hidden(
        self,
        draws: NDArray[np.uint64],
        is_event: NDArray[np.bool_],
        episodes: NDArray[np.int64] | None,
        cu_seqlens: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> NDArray[np.bool_]:
        """Where events are hidden; says nothing of other positions. `[tokens]`."""
        rate = self._config.rate
        if self._config.whole_visit_share == 0 or episodes is None:
            return draws < _threshold(rate)
        visits = self._whole_visits(is_event, episodes, cu_seqlens, generator)
        lengths = np.diff(cu_seqlens)
        in_visit = episodes == np.repeat(visits, lengths)
        by_groups = np.repeat(visits == _NO_VISIT, lengths)
        num_in_visits = int(np.count_nonzero(in_visit & is_event))
        num_others = int(np.count_nonzero(by_groups & is_event))
        wanted = rate * int(np.count_nonzero(is_event)) - num_in_visits
        chance = rate if self._each_alone else wanted / max(1, num_others)
        by_groups &= draws < _threshold(chance)
        by_groups |= in_visit
        return by_groups

    def _whole_visits(
        self,
        is_event: NDArray[np.bool_],
        episodes: NDArray[np.int64],
        cu_seqlens: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        """The visit that each sequence hides whole, or `_NO_VISIT`. `[sequences]`."""
        starts, lengths = cu_seqlens[:-1], np.diff(cu_seqlens)
        asked = generator.random(lengths.size) < self._config.whole_visit_share
        place = starts + generator.integers(np.minimum(1, lengths - 1), lengths)
        visits = np.where(asked, episodes[place], _NO_VISIT)
        in_visit = is_event & (episodes == np.repeat(visits, lengths))
        num_in_visit = np.add.reduceat(in_visit, starts, dtype=np.int64)
        num_events = np.add.reduceat(is_event, starts, dtype=np.int64)
        fits = (num_in_visit > 0) & (2 * num_in_visit <= num_events)
        return np.where(fits, visits, _NO_VISIT)

    def _shown(
        self,
        tokens: NDArray[np.int64],
        draws: NDArray[np.uint64],
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        """What stands in the place of hidden tokens. `[masked]` to `[masked]`."""
        # The low half of a draw: its high half decided that the group is hidden.
        fates = draws & np.uint64(2**32 - 1)
        masked = _low_threshold(self._config.mask_share)
        swapped = _low_threshold(self._config.mask_share + self._config.random_share)
        shown = np.where(fates < masked, MASK, tokens)
        swap = np.flatnonzero((fates >= masked) & (fates < swapped))
        shown[swap] = generator.integers(_NUM_SPECIAL, self._num_tokens, swap.size)
        return shown


def _first_of_unhidden(
    draws: NDArray[np.uint64],
    is_event: NDArray[np.bool_],
    hidden: NDArray[np.bool_],
    cu_seqlens: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """In sequences with events and none hidden, the group of the lowest draw. `[tokens]`."""
    starts, lengths = cu_seqlens[:-1], np.diff(cu_seqlens)
    lacks = ~np.logical_or.reduceat(hidden, starts)
    least = np.minimum.reduceat(np.where(is_event, draws, np.iinfo(np.uint64).max), starts)
    found: NDArray[np.bool_] = draws == np.repeat(least, lengths)
    found &= is_event & np.repeat(lacks, lengths)
    return found


_NO_VISIT = np.iinfo(np.int64).min


def _threshold(share: float) -> np.uint64:
    """Draws below it are that share of all. Shares outside 0 to 1 count as the nearer end."""
    return np.uint64(min(max(0, int(share * 2.0**64)), 2**64 - 1))


def _low_threshold(share: float) -> np.uint64:
    """The same for draws of 32 bits."""
    return np.uint64(round(share * 2.0**32))
