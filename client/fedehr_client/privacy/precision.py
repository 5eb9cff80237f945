"""`private_compute`: how a private round is computed, whatever suits other rounds."""

from dataclasses import replace

from torch import nn

from fedehr_client.compute.compute import CHECKPOINTING, Compute
from fedehr_client.privacy.listening import holds_each


def private_compute(compute: Compute, model: nn.Module) -> Compute:
    """The same choices but for those that per-subject gradients rule out.

    - Nothing is compiled: each of Opacus' hooks would make a graph of its own
    - No checkpointing: a layer that runs twice is heard twice. A batch is cut into pieces of
      fewer subjects instead, down to one
    - No fp16: a loss scale follows from which gradients overflow, and so from the records
    - bf16 where each subject's gradient is in memory, as they are added up in float32 then. With
      ghost clipping fp32 alone: torch would round the sum over all subjects to bf16 before the
      noise, and by that one of them may move it by more than the clipping norm

    Args:
        compute: as the site chose.
        model: its frozen parameters marked.
    """
    keeps = compute.precision == "bf16" and holds_each(model)
    return replace(
        compute,
        compile=False,
        checkpointing=False,
        precision="bf16" if keeps else "fp32",
        to_fit=compute.to_fit - {CHECKPOINTING},
    )
