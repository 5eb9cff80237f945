"""`prefetch`: the next batches are made in a thread while the model trains on the last."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Batch = TypeVar("Batch")
NUM_AHEAD = 2


def prefetch(make: Callable[[int], Batch], steps: Sequence[int]) -> Generator[Batch, None, None]:
    """`make(step)` for each step in order, up to `NUM_AHEAD` of them made ahead.

    One thread makes one batch after the other, so that they are the same as without it; what
    it raises is raised here, at its step. NumPy frees the interpreter while it works, and so
    does torch: the two run at once. To stop early, close the generator: the thread ends with
    the batch that it is making.
    """
    waiting: deque[Future[Batch]] = deque()
    rest = iter(steps)
    maker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
    try:
        waiting.extend(maker.submit(make, step) for step in islice(rest, NUM_AHEAD))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(maker.submit(make, step) for step in islice(rest, 1))
            yield batch
    finally:
        maker.shutdown(cancel_futures=True)
