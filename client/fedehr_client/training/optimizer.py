"""AdamW whose moments may come with the weights and go back with them."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fedehr_shared.config.optimization import OptimizationConfig
from fedehr_shared.errors import WireError
from fedehr_shared.wire.moments import FIRST, SECOND_ROOT
from fedehr_shared.wire.payload import Arrays

_BETAS = (0.9, 0.98)


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
        betas=_BETAS,
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
    num_steps_done: Callable[[str], int],
) -> None:
    """Continue from averaged moments, as if each had been through `num_steps_done` steps.

    Args:
        optimizer: of the parameters that learn.
        model: its other parameters are left out.
        moments: by name, as `moments_of` gives them.
        num_steps_done: by a parameter's name; 0: it has not learnt yet and begins with none.

    Raises:
        WireError: a moment is missing, has another shape, or is NaN or beyond float32.
    """
    for name, parameter in model.named_parameters():
        num_steps = num_steps_done(name)
        if not parameter.requires_grad or num_steps == 0:
            continue
        for_first, for_second = _shares(num_steps)
        first, root = moments.get(name + FIRST), moments.get(name + SECOND_ROOT)
        if first is None and root is None:
            # No site that has told yet could train it: a head of a task that few sites have.
            continue
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
            float(num_steps),
            torch.from_numpy(first * np.float32(for_first)),
            torch.from_numpy(second * np.float32(for_second)),
        )


def moments_of(
    optimizer: torch.optim.AdamW, parameters: Iterable[tuple[str, nn.Parameter]]
) -> Arrays:
    """The moments after a round, by parameter name, corrected for their start at zero: sites
    that took other numbers of steps, by the clock or for their size, tell them on one scale."""
    moments: Arrays = {}
    for name, parameter in parameters:
        state = optimizer.state.get(parameter)
        if state:
            of_first, of_second = _shares(float(state["step"]))
            moments[name + FIRST] = (state["exp_avg"] / of_first).cpu().numpy()
            moments[name + SECOND_ROOT] = (state["exp_avg_sq"] / of_second).sqrt().cpu().numpy()
    return moments


def _shares(num_steps: float) -> tuple[float, float]:
    """How much of a constant gradient, and of its square, the moments hold after some steps
    (Kingma and Ba 2015, section 3)."""
    first, second = _BETAS
    return 1 - first**num_steps, 1 - second**num_steps
