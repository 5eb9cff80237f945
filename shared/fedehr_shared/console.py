"""How all three programs end: a refused command prints what, why and what next, and exits
with its documented code. Results go to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from rich.console import Console

from fedehr_shared.errors import FedehrError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def run_program(app: Callable[[], Any]) -> NoReturn:
    """Run a command line to its end and exit with its code (`errors.EXIT_CODES`)."""
    try:
        app()
    except FedehrError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
    sys.exit(0)


def print_json(value: Any) -> None:
    """Print `value` as JSON, and nothing else, on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
