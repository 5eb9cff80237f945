"""First weights, and weights as plain named arrays.

The coordinator draws the first weights, from the study's seed alone; sites never do.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_shared.errors import WireError
from fedehr_shared.model.lora.first_values import draw_adapter
from fedehr_shared.model.tuning.plan import is_adapter
from fedehr_shared.seeds import derive_generator

AnyModel = TypeVar("AnyModel", bound=nn.Module)
Tensors = dict[str, NDArray[np.float32]]
_SMALL_SCALE = 0.02
_FROM_ZERO = ("wide.", "pooling.", "uncertainty.")
"""A term that says nothing yet, a query that looks at all tokens alike, tasks of equal weight."""


def draw_first_weights(model: nn.Module, *seed_parts: str | int) -> Tensors:
    """Names and shapes of `model`'s parameters, filled from the seed.

    Vectors of norms are ones; biases, the wide term, the query of attention pooling and the
    tasks' log-variances are zeros; embeddings, the projection of the age that is added to them,
    and the tasks' heads are normal with deviation 0.02; matrices are normal with deviation
    1 / sqrt(columns).
    Adapters: see `draw_adapter`; what is drawn beside them does not depend on them.
    """
    generator = derive_generator(*seed_parts)
    drawn: Tensors = {}
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if is_adapter(name):
            drawn[name] = draw_adapter(name, shape, derive_generator(*seed_parts, name))
            continue
        if name.startswith(_FROM_ZERO):
            drawn[name] = np.zeros(shape, dtype=np.float32)
            continue
        if len(shape) == 1:
            fill = 0.0 if name.endswith("bias") else 1.0
            drawn[name] = np.full(shape, fill, dtype=np.float32)
            continue
        scale = _SMALL_SCALE if _begins_small(name) else shape[1] ** -0.5
        drawn[name] = (generator.standard_normal(shape) * scale).astype(np.float32)
    return drawn


def _begins_small(name: str) -> bool:
    # An age drawn larger than the tokens would drown them, and little is learnt until it shrinks;
    # a head drawn larger is noise in every score, which few labels do not wash out.
    small = ("heads.", "output.")
    return "embedding" in name or "age_projection" in name or name.startswith(small)


def parameters_of(model: nn.Module) -> Tensors:
    """A copy of the model's parameters by name."""
    return {
        name: parameter.detach().cpu().numpy().astype(np.float32, copy=True)
        for name, parameter in model.named_parameters()
    }


def build_model(
    make: Callable[[], AnyModel], tensors: Mapping[str, NDArray[np.float32]]
) -> AnyModel:
    """A model filled with `tensors`.

    Names and shapes are compared on a device without memory first: a study's size alone, sent
    without weights of that size, costs a site nothing.

    Raises:
        WireError: as `check_tensors`.
    """
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in make().named_parameters()}
    check_tensors(tensors, shapes)
    model = make()
    load_parameters(model, tensors)
    return model


def load_parameters(model: nn.Module, tensors: Mapping[str, NDArray[np.float32]]) -> None:
    """Fill the model.

    Raises:
        WireError: a name is missing or unknown, or a shape or dtype differs.
    """
    wanted = dict(model.named_parameters())
    check_tensors(tensors, {name: tuple(p.shape) for name, p in wanted.items()})
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(torch.from_numpy(np.array(tensors[name])))


def check_tensors(
    tensors: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse anything but exactly these names, in float32, of these shapes, all finite.

    Raises:
        WireError: naming the tensor.
    """
    if set(tensors) != set(shapes):
        odd = sorted(set(tensors) ^ set(shapes))
        raise WireError(f"tensors missing or unknown: {odd[:5]}. Use the same fedehr version.")
    for name, shape in shapes.items():
        if tensors[name].dtype != np.float32 or tensors[name].shape != shape:
            raise WireError(
                f"tensor {name} is {tensors[name].dtype} {tensors[name].shape}, "
                f"not float32 {shape}. Use the same fedehr version."
            )
        if not np.isfinite(tensors[name]).all():
            raise WireError(f"tensor {name} holds NaN or infinity. It was not used.")
