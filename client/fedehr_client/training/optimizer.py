"""AdamW whose moments may come with the weights and go back with them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import WireError
from fedehr_shared.wire.moments import FIRST, SECOND_ROOT
from fedehr_shared.wire.payload import Arrays


def make_optimizer(
    groups: Sequence[dict[str, object]], config: OptimizationConfig, *, fused: bool = False
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over parameter groups with a `rate_factor` each.

    `fused` takes torch's single kernel, which rounds in another order than its loop.
    """
    return torch.optim.AdamW(
        list(groups),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.98),
        fused=fused,
    )


def set_state(
    optimizer: torch.optim.AdamW,
    parameter: nn.Parameter,
    num_steps_done: float,
    first: torch.Tensor,
    second: torch.Tensor,
) -> None:
    """Continue a parameter from its two moments, which are taken over without a copy.

    Args:
        optimizer: it may have the parameter, or not.
        parameter: on its device.
        num_steps_done: for the correction of the moments' start at zero.
        first: mean gradient, of the parameter's shape.
        second: mean squared gradient, of the parameter's shape.
    """
    # The fused kernel counts on the parameter's device, the loop on the processor.
    fused = bool(optimizer.defaults["fused"])
    device = parameter.device if fused else torch.device("cpu")
    optimizer.state[parameter] = {
        "step": torch.tensor(num_steps_done, dtype=torch.float32, device=device),
        "exp_avg": first.to(parameter.device),
        "exp_avg_sq": second.to(parameter.device),
    }


def load_moments(
    optimizer: torch.optim.AdamW,
    model: nn.Module,
    moments: Mapping[str, NDArray[np.float32]],
    num_steps_done: int,
) -> None:
    """Continue from averaged moments.

    Raises:
        WireError: a moment is missing, has another shape, or is NaN or beyond float32.
    """
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        first, root = moments.get(name + FIRST), moments.get(name + SECOND_ROOT)
        shape = tuple(parameter.shape)
        if first is None or root is None or first.shape != shape or root.shape != shape:
            raise WireError(f"the moments of {name} are missing or have another shape.")
        with np.errstate(over="ignore"):
            second = np.square(root)
        if not (np.isfinite(first).all() and np.isfinite(second).all()):
            raise WireError(f"the moments of {name} hold NaN or infinity. They were not used.")
        set_state(
            optimizer,
            parameter,
            float(num_steps_done),
            torch.from_numpy(np.array(first)),
            torch.from_numpy(second),
        )


def moments_of(optimizer: torch.optim.AdamW, model: nn.Module) -> Arrays:
    """The moments after a round, by parameter name."""
    moments: Arrays = {}
    for name, parameter in model.named_parameters():
        state = optimizer.state.get(parameter)
        if state:
            moments[name + FIRST] = state["exp_avg"].cpu().numpy()
            moments[name + SECOND_ROOT] = state["exp_avg_sq"].sqrt().cpu().numpy()
    return moments
