"""`ViewPairs`: each subject of a batch twice, masked apart."""

from dataclasses import dataclass

import torch

from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.tokens.visible import VisibleBatch


@dataclass(frozen=True)
class ViewPairs:
    """Two views of each subject, told from those of the others in its group.

    A group is `group` subjects in the batch's order, the last of a step perhaps fewer. Groups
    are never cut, so that what a view is told from does not depend on a token budget.

    Attributes:
        views: sequences `2 i` and `2 i + 1` are the views of subject `i`.
        group: subjects of a group.
        num_step_subjects: subjects of the whole step that have another one in their group: the
            losses of its pieces add up to the mean over them.
    """

    views: MaskedBatch | VisibleBatch
    group: int
    num_step_subjects: int

    @classmethod
    def of(cls, views: MaskedBatch | VisibleBatch, group: int) -> "ViewPairs":
        """A whole step's views."""
        num_subjects = views.batch.num_sequences // 2
        is_alone = num_subjects % group == 1
        return cls(views, group, num_subjects - is_alone)

    @property
    def num_tokens(self) -> int:
        """Tokens that the memory holds."""
        return self.views.num_tokens

    def split(self, token_budget: int | None) -> list["ViewPairs"]:
        """Pieces of at most `token_budget` tokens, or of one longer group; views, no copies."""
        return [
            ViewPairs(part, self.group, self.num_step_subjects)
            for part in self.views.split(token_budget, 2 * self.group)
        ]

    def to(self, device: torch.device) -> "ViewPairs":
        """The same batch on `device`; a pinned one is copied while the processor goes on."""
        return ViewPairs(self.views.to(device), self.group, self.num_step_subjects)

    def pinned(self) -> "ViewPairs":
        """The same batch in page-locked memory, from which CUDA copies without waiting."""
        return ViewPairs(self.views.pinned(), self.group, self.num_step_subjects)
