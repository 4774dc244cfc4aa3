"""Proctor runs test suites over a fleet of mixed workers and loses no result."""

from __future__ import annotations

from importlib import import_module

# As type checkers know it. To import it takes more than half of the time in which nobody is there
# yet to answer a Ctrl-C.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .flows.inject import ExperimentFailed, inject_faults
    from .flows.submission import CampaignFailed
    from .flows.submit import submit_tests
    from .flows.trends import analyze_trends

__all__ = ["CampaignFailed", "ExperimentFailed", "analyze_trends", "inject_faults", "submit_tests"]
__version__ = "0.1.0"

# Resolved on first use: `import proctor` must not pay for Prefect (1 s).
_LAZY = {
    "CampaignFailed": ".flows.submission",
    "ExperimentFailed": ".flows.inject",
    "analyze_trends": ".flows.trends",
    "inject_faults": ".flows.inject",
    "submit_tests": ".flows.submit",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name], __name__), name)
    raise AttributeError(f"module 'proctor' has no attribute {name!r}")
