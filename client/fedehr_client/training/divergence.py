"""A loss or gradient that is NaN or infinite: where it was, and what to do."""

from collections.abc import Sequence

from fedehr_shared.errors import TrainingError


def loss_error(step: int, losses: Sequence[float]) -> TrainingError:
    """The error of a step with a loss that is no number.

    Args:
        step: counted from the phase's first, from 0.
        losses: `[pieces]`, of which one at least is NaN or infinite.
    """
    place = next(k for k, loss in enumerate(losses) if not abs(loss) < float("inf"))
    return _error("the loss", step, place, len(losses))


def gradient_error(step: int, place: int | None, num_pieces: int) -> TrainingError:
    """The error of a step whose losses are numbers and whose gradient is none.

    Args:
        step: counted from the phase's first, from 0.
        place: the first piece with such a gradient, from 0; None: only their sum is one.
        num_pieces: of the step.
    """
    return _error("the gradient", step, place, num_pieces)


def update_error() -> TrainingError:
    """The error of a round whose last step left weights that are no numbers."""
    return _error_at("the round's update", "after its last step")


def _error(what: str, step: int, place: int | None, num_pieces: int) -> TrainingError:
    where = f"in piece {place + 1} of {num_pieces}" if place is not None else "over all pieces"
    return _error_at(what, f"at step {step + 1} of the phase, {where} of the step's batch")


def _error_at(what: str, where: str) -> TrainingError:
    return TrainingError(
        f"{what} is NaN or infinite {where}. "
        "Nothing was sent. Lower the phase's learning_rate or max_grad_norm in the study; where "
        "the site computes in fp16 or bf16, try [compute] precision = 'fp32'."
    )
