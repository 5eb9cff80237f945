"""`PrivateRandomness`: random numbers that nobody outside the site can know or repeat."""

import math
import os
import threading

import numpy as np
import torch
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms
from numpy.typing import NDArray

_KEY_BYTES, _NONCE_BYTES = 32, 16
_BYTES_PER_KEY = 2**30
"""A new key comes long before the cipher's block counter could wrap."""
_WORD_BYTES = 8


class PrivateRandomness:
    """The keystream of ChaCha20 (RFC 8439) under a key of the operating system's.

    All that differential privacy rests on is drawn here: the noise, which subjects a step sees,
    their windows and masks. Whoever knows these numbers can take the noise off again, so no
    seed, setting, environment variable or message steers them, and `torch.manual_seed` and
    NumPy's seeds do not reach them. Two objects never give the same numbers, nor do two threads,
    nor a process and its fork: each takes a key of its own. It cannot be copied or written to a
    file.

    A test that needs numbers it knows gives the code under test an object of its own.
    """

    def __init__(self) -> None:
        """A key is taken from the operating system at a thread's first draw."""
        self._threads = _ThreadStreams()

    def uniform(self, size: int) -> NDArray[np.float64]:
        """Independent numbers in [0, 1), multiples of 2^-53. Shape: `[size]`."""
        words = np.frombuffer(self._bytes(_WORD_BYTES * size), dtype=np.uint64)
        return np.asarray((words >> np.uint64(11)) * 2.0**-53)

    def normal(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """Independent standard normal numbers on `device`, in float64.

        By Box and Muller (1958) from 64 bits a number: the tails reach 9.4 standard deviations,
        beyond which a normal number falls once in 10^20. The keystream is made on the processor,
        the rest on the device.
        """
        size = math.prod(shape)
        half = (size + 1) // 2
        # Writable, as torch asks; nobody else holds these bytes.
        words = np.frombuffer(bytearray(self._bytes(2 * half * _WORD_BYTES)), dtype=np.int64)
        on_device = torch.from_numpy(words).to(device)
        return _normal_of(on_device[:half], on_device[half:])[:size].view(shape)

    def generator(self) -> np.random.Generator:
        """A fresh NumPy generator under a key drawn here, for masks and windows.

        Its numbers never leave the site, so it need not withstand one who sees some of them.
        """
        key = np.frombuffer(self._bytes(2 * _WORD_BYTES), dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def poisson_rows(self, num_rows: int, rate: float) -> NDArray[np.int64]:
        """Which of `num_rows` take part, each with the chance `rate` by itself. `[rows]`."""
        return np.flatnonzero(self.uniform(num_rows) < rate)

    def seed(self) -> int:
        """63 bits for what takes a seed alone, as torch's dropout does."""
        return int.from_bytes(self._bytes(_WORD_BYTES), "little") >> 1

    def _bytes(self, size: int) -> bytes:
        return self._threads.stream(size).update(bytes(size))

    def __reduce__(self) -> str:
        raise TypeError("private randomness is never copied: a copy would repeat it")


class _ThreadStreams(threading.local):
    """One keystream a thread, so that none waits for another, and none after a fork."""

    def __init__(self) -> None:
        self._process = (0, 0)
        self._left = 0
        self._stream: CipherContext | None = None

    def stream(self, size: int) -> CipherContext:
        """A keystream with `size` bytes left under its key."""
        process = (os.getpid(), len(_forks))
        stream = self._stream
        if stream is None or self._process != process or self._left < size:
            cipher = Cipher(algorithms.ChaCha20(os.urandom(_KEY_BYTES), bytes(_NONCE_BYTES)), None)
            stream = self._stream = cipher.encryptor()
            self._process, self._left = process, max(_BYTES_PER_KEY, size)
        self._left -= size
        return stream


_forks: list[None] = []
"""One entry a fork: a grandchild may have its grandparent's number."""
os.register_at_fork(after_in_child=lambda: _forks.append(None))


def _normal_of(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """`[2 words]` normal float64 numbers of two times `[words]` int64 random bits."""
    # Small shares keep all their digits: they are the tails.
    share = (first & (2**63 - 1)).double().add_(0.5).mul_(2.0**-63)
    radius = share.log_().mul_(-2.0).sqrt_()
    angle = second.double().mul_(2.0**-63 * math.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()])
