"""A driver process for the engine's tests: `drive.py PLAN`, events as JSON lines on stdout."""

import json
import signal
import sys
from pathlib import Path

from fedehr_shared.config import StudyConfig
from fedehr_shared.errors import FedehrError
from fedehr_simulations.engine import run_simulation


def main() -> None:
    # A shell that starts the tests in its background has them ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    plan = json.loads(sys.argv[1])
    study = StudyConfig.model_validate(
        {"name": "lab", "seed": plan["seed"], "finetuning": {"tasks": ["death"]}}
    )
    try:
        result = run_simulation(
            study,
            Path(plan["sites"]),
            Path(plan["out"]),
            "one",
            on_progress=lambda event: print(json.dumps(event), flush=True),
            private_network=plan["private_network"],
            bundle=Path(__file__).parent / "bundle.toml",
        )
    except FedehrError as error:
        print(json.dumps({"event": "error", "kind": type(error).__name__, "text": str(error)}))
        sys.exit(error.exit_code)
    print(json.dumps({"event": "result", **result}))


if __name__ == "__main__":
    main()
