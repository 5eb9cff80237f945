"""`Contrastive`: two views of a subject are closer to each other than to views of others."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.finetuning_model import pool
from fedehr_shared.model.full_precision import full_precision
from fedehr_shared.tokens.views import ViewPairs


class Contrastive(nn.Module):
    """SimCLR's task (Chen et al. 2020, "A simple framework for contrastive learning of visual
    representations") on subjects: NT-Xent between projections of the pooled encodings."""

    def __init__(self, model: ModelConfig, objective: ObjectiveConfig) -> None:
        super().__init__()
        self.inner = nn.Linear(model.hidden, model.hidden, bias=False)
        self.outer = nn.Linear(model.hidden, objective.projection, bias=False)
        self._pooling = model.pooling
        self._temperature = objective.temperature

    def forward(self, encoded: torch.Tensor, pairs: ViewPairs) -> torch.Tensor:
        """The piece's share of the step's mean NT-Xent.

        Args:
            encoded: `[tokens, hidden]`, the encodings of `pairs.views.batch`.
            pairs: the piece; whole groups.

        Shape: a scalar, in nats.
        """
        pooled = pool(encoded.float(), pairs.views.batch.cu_seqlens, self._pooling)
        projected = self.outer(functional.relu(self.inner(pooled)))
        # Similarities divided by a small temperature want all of float32's bits.
        with full_precision(encoded.device):
            directions = functional.normalize(projected.float(), dim=1)
            summed = nt_xent(directions, pairs.group, self._temperature)
        return summed / (2 * max(1, pairs.num_step_subjects))


def nt_xent(directions: torch.Tensor, group: int, temperature: float) -> torch.Tensor:
    """The normalized temperature-scaled cross-entropy (equation 1 of Chen et al. 2020), summed
    over all views. A group of one subject has nothing to be told from and adds 0.

    Args:
        directions: `[views, projection]`, of length 1; `2 i` and `2 i + 1` are of one subject.
        group: subjects of a group; the last may have fewer.
        temperature: what similarities are divided by.

    Shape: a scalar, in nats.
    """
    num_views = 2 * group
    num_groups, width = directions.shape[0] // num_views, directions.shape[1]
    whole = directions[: num_groups * num_views].reshape(num_groups, num_views, width)
    rest = directions[num_groups * num_views :][None]
    return _summed(whole, temperature) + _summed(rest, temperature)


def _summed(views: torch.Tensor, temperature: float) -> torch.Tensor:
    """`nt_xent` of groups of one size. `[groups, views, projection]` to a scalar."""
    num_views = views.shape[1]
    similarities = views @ views.mT / temperature
    numbers = torch.arange(num_views, device=views.device)
    itself = numbers[:, None] == numbers[None, :]
    similarities = similarities.masked_fill(itself, -torch.inf)
    partners = (numbers ^ 1).expand(views.shape[0], -1)
    return functional.cross_entropy(similarities.flatten(0, 1), partners.flatten(), reduction="sum")
