"""`private_compute`: how a private round is computed, whatever suits other rounds."""

from dataclasses import replace

from fedehr_client.compute.compute import CHECKPOINTING, Compute


def private_compute(compute: Compute) -> Compute:
    """The same choices but for those that per-subject gradients rule out.

    - Nothing is compiled: each of Opacus' hooks would make a graph of its own
    - No checkpointing: a layer that runs twice is heard twice. A batch is cut into pieces of
      fewer subjects instead, down to one
    - No fp16: a loss scale follows from which gradients overflow, and so from the records
    """
    return replace(
        compute,
        compile=False,
        checkpointing=False,
        precision="fp32" if compute.precision == "fp16" else compute.precision,
        to_fit=compute.to_fit - {CHECKPOINTING},
    )
