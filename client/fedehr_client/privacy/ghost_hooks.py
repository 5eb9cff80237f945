"""`GhostHooks`: Opacus' ghost clipping, with norms that are quicker for long rows."""

import torch
from torch import nn
from torch.nn import functional

from fedehr_client.privacy.opacus import (
    GradSampleHooksFastGradientClipping,
)

Norms = dict[torch.Tensor, torch.Tensor]

_ROUNDED = 2.0**-10
"""Of what a gradient's terms would come to if none cancelled another: so much is added to its
norm, squares to squares. By pairs float32 finds the square of a norm within 2^-20 of theirs at
best: weights chosen for it could hide a gradient of 100 clipping norms in terms of 10^7. With it
a clipped gradient's terms are at most 2^10 clipping norms, which the second pass, too, adds up
within `MARGIN`. Terms that do not cancel lengthen the norm by less than a thousandth."""


class GhostHooks(GradSampleHooksFastGradientClipping):  # type: ignore[misc]
    """Opacus' hooks, with norm samplers of our own: norms that are never below what they are.

    Opacus compares all pairs of a row's tokens, which takes four times as long as the gradient
    itself where rows have 512 tokens and layers 256 columns, and does so for biases too.

    Attributes:
        first: parameters of the layers that no trained layer comes before: a backward pass that
            reaches them passes all others.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, loss_reduction="sum", strict=True)
        self.first: list[nn.Parameter] = []

    def capture_activations_hook(
        self, module: nn.Module, forward_input: list[torch.Tensor], _forward_output: torch.Tensor
    ) -> None:
        """Besides what Opacus notes, which layers come first."""
        super().capture_activations_hook(module, forward_input, _forward_output)
        if not any(part.requires_grad for part in forward_input):
            self.first += [p for p in module.parameters(recurse=False) if p.requires_grad]


def linear_norms(layer: nn.Linear, inputs: list[torch.Tensor], grads: torch.Tensor) -> Norms:
    """Each subject's gradient norm of a linear map, in float32.

    Args:
        layer: the map.
        inputs: one, `[subjects, ..., in]`.
        grads: of the map's results, `[subjects, ..., out]`.
    """
    given = inputs[0].float().flatten(1, -2) if inputs[0].dim() > 2 else inputs[0].float()[:, None]
    wanted = grads.float().flatten(1, -2) if grads.dim() > 2 else grads.float()[:, None]
    norms: Norms = {}
    if layer.weight.requires_grad:
        norms[layer.weight] = _product_norms(wanted, given)
    if layer.bias is not None and layer.bias.requires_grad:
        norms[layer.bias] = _never_less(wanted.sum(dim=1).square().sum(dim=1), _lengths(wanted))
    return norms


def _product_norms(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """The norms of `left' right`, subject by subject: by pairs of tokens or from the product
    itself, whichever takes fewer operations (Bu et al. 2022, "Scalable and Efficient Training of
    Large Convolutional Neural Networks with Differential Privacy", section 4); never less than
    they are, by `_ROUNDED`.

    Args:
        left: `[subjects, tokens, out]`.
        right: `[subjects, tokens, in]`.

    Shape: `[subjects]`.
    """
    num_tokens, out, width = left.shape[1], left.shape[2], right.shape[2]
    if num_tokens * (out + width) > out * width:
        squares = torch.bmm(left.mT, right).square().sum(dim=(1, 2))
    else:
        pairs = torch.bmm(left, left.mT) * torch.bmm(right, right.mT)
        squares = pairs.sum(dim=(1, 2)).clamp(min=0)
    return _never_less(squares, _lengths(left) * _lengths(right))


def embedding_norms(layer: nn.Embedding, inputs: list[torch.Tensor], grads: torch.Tensor) -> Norms:
    """Each subject's gradient norm of an embedding, in float32: what one token was given in a row
    is summed first. Never less than it is, by `_ROUNDED`.

    Args:
        layer: the embedding.
        inputs: one, `[subjects, ...]` int64.
        grads: `[subjects, ..., width]`.
    """
    num_subjects = inputs[0].shape[0]
    tokens = inputs[0].reshape(num_subjects, -1)
    rows = torch.arange(num_subjects, device=tokens.device)[:, None]
    keys, places = torch.unique(rows * layer.num_embeddings + tokens, return_inverse=True)
    summed = grads.new_zeros(keys.numel(), layer.embedding_dim, dtype=torch.float32)
    given = grads.float().reshape(num_subjects, -1, layer.embedding_dim)
    summed.index_add_(0, places.flatten(), given.flatten(0, 1))
    squares = summed.new_zeros(num_subjects)
    squares.index_add_(0, keys // layer.num_embeddings, summed.square().sum(dim=1))
    return {layer.weight: _never_less(squares, _lengths(given))}


def scale_norms(layer: nn.RMSNorm, inputs: list[torch.Tensor], grads: torch.Tensor) -> Norms:
    """Each subject's gradient norm of an RMSNorm's scales, in float32. Never less than it is, by
    `_ROUNDED`.

    Args:
        layer: the norm, over the last dimension.
        inputs: one, `[subjects, ..., width]`.
        grads: of the norm's results, `[subjects, ..., width]`.
    """
    scaled = functional.rms_norm(inputs[0].float(), layer.normalized_shape, eps=layer.eps)
    terms = (scaled * grads.float()).reshape(grads.shape[0], -1, grads.shape[-1])
    return {layer.weight: _never_less(terms.sum(dim=1).square().sum(dim=1), _lengths(terms))}


def _lengths(terms: torch.Tensor) -> torch.Tensor:
    """`[subjects, tokens, width]` to `[subjects, tokens]`."""
    lengths: torch.Tensor = torch.linalg.vector_norm(terms, dim=2)
    return lengths


def _never_less(squares: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
    """Norms by their squares, with `_ROUNDED` of their terms' lengths. `[subjects]`.

    Args:
        squares: `[subjects]`.
        terms: `[subjects, tokens]`, the lengths of what adds up to each gradient.
    """
    return (squares + (_ROUNDED * terms.sum(dim=1)).square()).sqrt()


GhostHooks.NORM_SAMPLERS = {
    nn.Linear: linear_norms,
    nn.Embedding: embedding_norms,
    nn.RMSNorm: scale_norms,
}
