"""Codes searched for until their gradient is the one that was seen (Zhu et al. 2019).

By cosine and with Adam, as Geiping et al. 2020 ("Inverting Gradients"). The attacker is given more
than a coordinator has: the number of the events, their times, the age, the sex and the outcome.
"""

from collections.abc import Callable

import torch
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from fedehr_shared.model.finetuning_model import FinetuningModel
from fedehr_shared.tokens.padded_batch import PaddedBatch
from fedehr_simulations.attacks.inversion.seen_update import SeenUpdate

_TABLE = "encoder.token_embedding.weight"
_LEARNING_RATE = 0.05


def matched_tokens(
    seen: SeenUpdate,
    batch: PaddedBatch,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    num_steps: int,
    seed: int,
) -> torch.Tensor:
    """The token whose embedding is nearest to what was found, place by place.

    Args:
        seen: the update of one subject.
        batch: that subject's row; its tokens are not read, but the first, which is `[START]`.
        loss_of: from logits, the subject's loss.
        num_steps: of the search.
        seed: of its beginning.

    Shape: `[length]` int64.
    """
    table = dict(seen.model.named_parameters())[_TABLE].detach()
    found = _search(seen, _placeholders(batch), table, loss_of, (num_steps, seed))
    likeness = functional.normalize(found, dim=1) @ functional.normalize(table, dim=1).T
    return likeness.argmax(dim=1)


def _placeholders(batch: PaddedBatch) -> PaddedBatch:
    """Every place reads a row of its own of the table that is searched for."""
    return PaddedBatch(
        batch.lengths,
        torch.arange(batch.tokens.shape[1])[None],
        batch.hours,
        batch.ages,
        batch.visits,
        batch.sexes,
        batch.is_real,
    )


def _search(
    seen: SeenUpdate,
    places: PaddedBatch,
    table: torch.Tensor,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    how: tuple[int, int],
) -> torch.Tensor:
    """Embeddings of all places. `[length, hidden]`."""
    num_steps, seed = how
    generator = torch.Generator().manual_seed(seed)
    begun = table[torch.randint(len(table), (places.tokens.shape[1],), generator=generator)]
    wanted = (begun + 0.1 * begun.std() * torch.randn(begun.shape, generator=generator)).clone()
    wanted.requires_grad_()
    optimizer = torch.optim.Adam([wanted], lr=_LEARNING_RATE * float(table.std()))
    # The other kernels have no second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        for _ in range(num_steps):
            optimizer.zero_grad()
            distance = _distance(seen, places, wanted, loss_of)
            (wanted.grad,) = torch.autograd.grad(distance, [wanted])
            optimizer.step()
    return wanted.detach()


def _distance(
    seen: SeenUpdate,
    places: PaddedBatch,
    wanted: torch.Tensor,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """1 minus the cosine of the two gradients."""
    model: FinetuningModel = seen.model
    parameters = dict(model.named_parameters())
    logits = functional_call(model, {**parameters, _TABLE: wanted}, (places,))
    names = [name for name in seen.gradients if name != _TABLE]
    own = torch.autograd.grad(
        loss_of(logits.float()), [parameters[name] for name in names], create_graph=True
    )
    ours = torch.cat([gradient.flatten() for gradient in own])
    theirs = torch.cat([seen.gradients[name].flatten() for name in names])
    return 1 - functional.cosine_similarity(ours, theirs, dim=0)
