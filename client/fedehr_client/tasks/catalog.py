"""The built-in tasks, and task files by name or path."""

from importlib.resources import files
from pathlib import Path

from fedehr_client.tasks.definition import TaskDefinition
from fedehr_shared.config.section import read_toml
from fedehr_shared.errors import ConfigError

_FOLDER = Path(str(files("fedehr_client.tasks") / "builtin"))
ENDING = ".toml"


def builtin_names() -> list[str]:
    """The built-in tasks, by name."""
    return sorted(file.stem for file in _FOLDER.glob(f"*{ENDING}"))


def task_file(task: str) -> Path:
    """Where a task is defined.

    Args:
        task: a built-in name, or a path that ends in `.toml`.

    Raises:
        ConfigError: neither.
    """
    path = Path(task) if task.endswith(ENDING) else _FOLDER / f"{task}{ENDING}"
    if not path.is_file():
        raise ConfigError(
            f"there is no task '{task}'. Name one of {', '.join(builtin_names())}, or a file "
            f"that ends in {ENDING}."
        )
    return path


def read_task(path: Path) -> TaskDefinition:
    """Read a task file.

    Raises:
        ConfigError: the file is missing, is not TOML or holds a wrong key.
    """
    return read_toml(path, TaskDefinition)
