"""What the driver asks of the keeper, as one line of JSON."""

import json
from dataclasses import asdict, dataclass

RUN_COMMAND_PART = "flwr-simulation"
"""The process in which the engine runs the ServerApp and drives Ray."""


@dataclass(frozen=True)
class EnginePlan:
    """One simulation. Paths are absolute."""

    bundle_file: str
    """The `pyproject.toml` that names the apps."""
    coordinator_folder: str
    sites_folder: str
    result_file: str
    """The run is over as soon as this file is there."""
    log_file: str
    run_config: dict[str, str | int]
    num_sites: int
    num_actors: int
    num_threads: int
    """Torch threads of each actor."""
    private_network: bool
    """Take a network namespace where the system allows one."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "EnginePlan":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
