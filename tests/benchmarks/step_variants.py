"""One optimizer step in each of the ways that are compared, on the same masked batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from bert import PaddedBatch, make_bert
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from fedehr_client.compute.precision import autocast, choose_precision
from fedehr_shared.config.model import ModelConfig
from fedehr_shared.config.objective import ObjectiveConfig
from fedehr_shared.model.pretraining_model import PretrainingModel
from fedehr_shared.model.stack import set_attention
from fedehr_shared.model.weights import draw_first_weights, load_parameters
from fedehr_shared.tokens.batch import EventBatch
from fedehr_shared.tokens.masking import MaskedBatch
from fedehr_shared.vocabulary.vocabulary import PAD

Prepare = Callable[[MaskedBatch], Any]
Loss = Callable[[Any], torch.Tensor]


@dataclass(frozen=True)
class StepVariant:
    """A way to take a step: `prepare` is not timed, as no data path is.

    Attributes:
        model: what is trained; several variants may share one.
        optimizer: the model's.
        prepare: the masked batch as this variant wants it.
        loss: of what `prepare` gave.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    prepare: Prepare
    loss: Loss

    def step(self, prepared: Any) -> float:
        """Forward, backward and AdamW; the loss (nats)."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(prepared)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def make_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """The same for all: fused AdamW, as transformers' trainer takes by default and we do."""
    return torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )


def make_ours(size: ModelConfig, num_tokens: int) -> PretrainingModel:
    """The full model: codes with values, age, sex, stays, time, SwiGLU; masked events."""
    model = PretrainingModel(size, ObjectiveConfig(), num_tokens)
    load_parameters(model, draw_first_weights(model, "benchmark"))
    return model.train()


def our_variants(size: ModelConfig, num_tokens: int, context: int) -> dict[str, StepVariant]:
    """`ours` in fp32; in the precision that a site takes by itself (`ours_as_it_comes`: bf16 on
    a processor with units for it); and without each of its parts.

    In fp32 all give the same loss but those padded as a whole, whose padding is attended to: the
    work is that of padding, not the sum.
    """
    model = make_ours(size, num_tokens)
    optimizer = make_optimizer(model)

    def variant(prepare: Prepare, loss: Loss) -> StepVariant:
        return StepVariant(model, optimizer, prepare, loss)

    def by(attention: str) -> Loss:
        def loss(masked: MaskedBatch) -> torch.Tensor:
            set_attention(model, attention)
            found: torch.Tensor = model(masked)
            set_attention(model, "sdpa")
            return found

        return loss

    def dense(masked: MaskedBatch) -> torch.Tensor:
        return dense_loss(model, masked)

    def whole(masked: MaskedBatch) -> torch.Tensor:
        return whole_loss(model, masked)

    def padded(masked: MaskedBatch) -> MaskedBatch:
        return fill_up(masked, context)

    def as_it_comes(masked: MaskedBatch) -> torch.Tensor:
        return in_own_precision(model, masked)

    return {
        "ours": variant(_as_it_is, model),
        "ours_as_it_comes": variant(_as_it_is, as_it_comes),
        "ours_whole_layers": variant(_as_it_is, whole),
        "ours_dense_head": variant(_as_it_is, dense),
        "ours_padded_attention": variant(_as_it_is, by("padded")),
        "ours_padded": variant(padded, model),
        "ours_padded_dense_head": variant(padded, dense),
    }


def bert_variants(size: ModelConfig, num_tokens: int, context: int) -> dict[str, StepVariant]:
    """`bert_*`: with dropout off; `bert_default_*`: with dropout 0.1 and in fp32, as it comes;
    `bert_default_own_precision`: the same in the precision that `ours_as_it_comes` takes."""
    found = {}
    for name, dropout in (("bert", 0.0), ("bert_default", 0.1)):
        torch.manual_seed(0)
        model = make_bert(size, num_tokens, context, dropout)
        optimizer = make_optimizer(model)

        def to_context(masked: MaskedBatch) -> PaddedBatch:
            return PaddedBatch.of(masked, context)

        def to_longest(masked: MaskedBatch) -> PaddedBatch:
            return PaddedBatch.of(masked, None)

        def dense(padded: PaddedBatch, model: Any = model) -> torch.Tensor:
            return padded.dense_loss(model)

        def sparse(padded: PaddedBatch, model: Any = model) -> torch.Tensor:
            return padded.sparse_loss(model)

        found[f"{name}_to_context"] = StepVariant(model, optimizer, to_context, dense)
        found[f"{name}_to_longest"] = StepVariant(model, optimizer, to_longest, dense)
        if dropout:
            found[f"{name}_own_precision"] = StepVariant(
                model, optimizer, to_context, partial(in_own_precision, dense)
            )
        else:
            found[f"{name}_sparse_head"] = StepVariant(model, optimizer, to_context, sparse)
    return found


def in_own_precision(loss: Loss, prepared: Any) -> torch.Tensor:
    """The loss under the autocast that a site chooses for this processor. A scalar."""
    device = torch.device("cpu")
    with autocast(device, choose_precision("auto", device)):
        return loss(prepared)


def whole_loss(model: PretrainingModel, masked: MaskedBatch) -> torch.Tensor:
    """The loss of our model whose last layer computes every position. A scalar."""
    encoded = model.encoder(masked.batch)[masked.positions]
    logits = functional.linear(encoded, model.encoder.token_embedding.weight, model.output_bias)
    return functional.cross_entropy(logits, masked.targets)


def dense_loss(model: PretrainingModel, masked: MaskedBatch) -> torch.Tensor:
    """The loss of our model with logits at every position. A scalar."""
    encoded = model.encoder(masked.batch)
    logits = functional.linear(encoded, model.encoder.token_embedding.weight, model.output_bias)
    targets = torch.full_like(masked.batch.tokens, -100)
    targets[masked.positions] = masked.targets
    return functional.cross_entropy(logits, targets)


def fill_up(masked: MaskedBatch, context: int) -> MaskedBatch:
    """Every sequence with `[PAD]` up to `context`: what an encoder without a stream computes."""
    batch = masked.batch
    lengths = batch.cu_seqlens.diff()
    shifts = torch.arange(batch.num_sequences) * context - batch.cu_seqlens[:-1]

    def filled(column: torch.Tensor) -> torch.Tensor:
        rows = pad_sequence(list(torch.split(column, lengths.tolist())), True, PAD)
        return functional.pad(rows, (0, context - rows.shape[1]), value=PAD).flatten()

    boundaries = list(range(0, context * batch.num_sequences + 1, context))
    columns = (batch.tokens, batch.hours, batch.ages, batch.visits, batch.sexes)
    stream = EventBatch(*map(filled, columns), torch.tensor(boundaries), boundaries)
    positions = masked.positions + torch.repeat_interleave(shifts, lengths)[masked.positions]
    return MaskedBatch.of(stream, positions, masked.targets)


def _as_it_is(masked: MaskedBatch) -> MaskedBatch:
    return masked
