"""The Flower bundle: one `pyproject.toml` that names the installed apps, and no code."""

import hashlib
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from fedehr_shared.errors import ConfigError
from fedehr_shared.processes import engine_environment, engine_program

_BUILD_SECONDS = 120.0
_IN_WHEEL = Path(__file__).parent / "bundle" / "pyproject.toml"
_IN_REPOSITORY = Path(__file__).parents[2] / "deploy" / "flower" / "pyproject.toml"


def bundle_file() -> Path:
    """The bundle's only file: package data of a wheel, or `deploy/flower` of a checkout.

    Raises:
        ConfigError: the installation lacks it.
    """
    for file in (_IN_WHEEL, _IN_REPOSITORY):
        if file.is_file():
            return file
    raise ConfigError(
        f"the installation lacks the Flower bundle {_IN_WHEEL}. Install fedehr again."
    )


def copy_bundle(folder: Path, file: Path | None = None) -> Path:
    """Make `folder` hold the bundle's file alone, ready for `flwr run`; return `folder`.

    Args:
        folder: must not exist yet.
        file: another bundle's `pyproject.toml`; the installed one by default.

    Raises:
        ConfigError: the installation lacks the bundle.
    """
    source = bundle_file() if file is None else file
    folder.mkdir(parents=True)
    # The engine packs every file it finds beside it, so nothing else may lie there.
    shutil.copyfile(source, folder / "pyproject.toml")
    return folder


def bundle_sha256(file: Path | None = None) -> str:
    """What the engine will name the bundle by: SHA-256 of the archive that it builds.

    Built by the engine's own command, as a run's is, from the same file: equal bytes, equal digest.

    Args:
        file: another bundle's `pyproject.toml`; the installed one by default.

    Raises:
        ConfigError: the installation lacks the bundle, or the engine does not build it.
    """
    source = bundle_file() if file is None else file
    return _built_sha256(source.read_bytes())


@lru_cache(maxsize=16)
def _built_sha256(content: bytes) -> str:
    """The engine's program takes two seconds to start."""
    with tempfile.TemporaryDirectory(prefix="fedehr-bundle-") as alone:
        folder = Path(alone) / "bundle"
        folder.mkdir()
        (folder / "pyproject.toml").write_bytes(content)
        done = subprocess.run(
            [engine_program("flwr"), "build", "--app", str(folder)],
            cwd=alone,
            env=engine_environment(FLWR_HOME=str(Path(alone) / "flwr")),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        built = list(Path(alone).glob("*.fab"))
        if done.returncode != 0 or len(built) != 1:
            told = " ".join((done.stderr or done.stdout).split())[-300:]
            raise ConfigError(f"the engine does not build the bundle: {told}")
        return hashlib.sha256(built[0].read_bytes()).hexdigest()
