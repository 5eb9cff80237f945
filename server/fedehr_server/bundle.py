"""The Flower bundle: one `pyproject.toml` that names the installed apps, and no code."""

import shutil
from pathlib import Path

from fedehr_shared.errors import ConfigError

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
