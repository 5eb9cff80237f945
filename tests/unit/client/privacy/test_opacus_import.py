"""Opacus comes without its habits."""

import subprocess
import sys

PROGRAM = """
import logging
import fedehr_client.privacy.listening
assert logging.getLogger().handlers == [], logging.getLogger().handlers
logging.getLogger("fedehr.client").warning("told once")
"""


def test_the_root_logger_stays_as_it_was() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == "told once\n"
