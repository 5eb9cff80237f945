"""`OnStep`: who watches a long piece of work."""

from collections.abc import Callable

OnStep = Callable[[str], None]
"""Told, in words, what begins."""
