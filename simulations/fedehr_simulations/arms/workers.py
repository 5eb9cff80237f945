"""`Workers`: pieces carried out side by side, one torch thread each.

One thread a piece makes the figures the same whatever the number of cores.
"""

import logging
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from types import TracebackType
from typing import TypeVar

from fedehr_simulations.arms.piece import Piece
from fedehr_simulations.engine.process_tree import die_with_parent

Result = TypeVar("Result")
OnDone = Callable[[str, int, int], None]
"""Receives a finished piece's title, how many are done, and of how many."""

SITE_LOG = "sites.log"


class Workers:
    """At most as many processes as there are cores; a context manager."""

    def __init__(self, on_done: OnDone, num_processes: int | None = None) -> None:
        """`num_processes`: side by side; None: one a core."""
        self._on_done = on_done
        self._others = set(multiprocessing.active_children())
        self._pool = ProcessPoolExecutor(
            max_workers=num_processes or len(os.sched_getaffinity(0)),
            # A forked child would inherit torch's threads in an undefined state.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
        )

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            # What is still being trained is of no use any more.
            for child in set(multiprocessing.active_children()) - self._others:
                child.terminate()
        self._pool.shutdown(cancel_futures=True)

    def run(self, pieces: Sequence[Piece[Result]]) -> list[Result]:
        """Carry out all pieces; their results in the order of the pieces.

        Raises:
            FedehrError: a piece failed.
        """
        futures = {self._pool.submit(_carry_out, piece): piece for piece in pieces}
        for number, future in enumerate(as_completed(futures), start=1):
            future.result()
            self._on_done(futures[future].title, number, len(pieces))
        return [future.result() for future in futures]


def _begin() -> None:
    # For what is no torch, as scikit-learn's boosting: read once, when it is first loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    die_with_parent()
    os.umask(0o077)
    torch.set_num_threads(1)
    log = logging.getLogger("fedehr")
    log.setLevel(logging.INFO)
    # Opacus, once loaded, writes whatever reaches the root into the terminal.
    log.propagate = False


def _carry_out(piece: Piece[Result]) -> Result:
    piece.folder.mkdir(parents=True, exist_ok=True)
    # The sites' own log lines belong to their run, not into the terminal.
    log = logging.getLogger("fedehr")
    handler = logging.FileHandler(piece.folder / SITE_LOG, delay=True, encoding="utf-8")
    log.addHandler(handler)
    try:
        return piece.carry_out()
    finally:
        log.removeHandler(handler)
        handler.close()
