"""Logs of processes that speak to servers: what they raise may name one with its password."""

from __future__ import annotations

import logging

from .secrets import without_passwords


class Discreet(logging.Formatter):
    """Takes passwords out of addresses, in tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


def log_discreetly(form: str, *, level: int = logging.WARNING) -> None:
    """Set up logging for a process, as `logging.basicConfig` does."""
    handler = logging.StreamHandler()
    handler.setFormatter(Discreet(form))
    logging.basicConfig(level=level, handlers=[handler])
