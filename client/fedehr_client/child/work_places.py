"""`WorkPlaces`: where in a site's work folder a process that computes leaves what is no record."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkPlaces:
    """Folders below `work`, for nothing else may be written by such a process.

    What it compiled is kept apart from the account's own caches also so that no program of the
    account that has the network runs it.
    """

    work: Path

    @property
    def temporary(self) -> Path:
        """Files that need not outlive their process."""
        return self.work / "temporary"

    @property
    def compiled(self) -> Path:
        """What compilers made for this machine's processors and GPU."""
        return self.work / "compiled"

    @property
    def environment(self) -> dict[str, str]:
        """What tells libraries of them."""
        return {
            "TMPDIR": str(self.temporary),
            "TORCHINDUCTOR_CACHE_DIR": str(self.compiled / "inductor"),
            "TRITON_CACHE_DIR": str(self.compiled / "triton"),
            "CUDA_CACHE_PATH": str(self.compiled / "cuda"),
        }

    def make(self) -> None:
        """Have them there.

        Raises:
            OSError: the work folder cannot be written.
        """
        for folder in (self.work, self.temporary, self.compiled):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def clear_temporary(self) -> None:
        """Remove what processes that were killed left; none may run."""
        shutil.rmtree(self.temporary, ignore_errors=True)
