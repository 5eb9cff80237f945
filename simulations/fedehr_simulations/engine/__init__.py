"""Flower's simulation engine: one study over a federation folder, on this machine.

`run_simulation` (the driver) starts a keeper process; the keeper owns a private network,
a SuperLink in simulation mode, Ray and their temporary folders, and takes all of them down
again when the run ends or when the driver is gone. Modules that the keeper imports use the
standard library and psutil only: it enters a user namespace, which needs a single thread.
"""

from fedehr_simulations.engine.simulation import Progress, run_simulation

__all__ = ["Progress", "run_simulation"]
