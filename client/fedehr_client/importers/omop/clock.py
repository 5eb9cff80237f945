"""The moment of the import, past which records are plans and fillers."""

from datetime import UTC, datetime


def now_literal() -> str:
    """UTC now as a SQL time stamp."""
    return f"TIMESTAMP '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}'"
