"""What every test can rely on: a clean environment, and tools that are there or said to be missing."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings

import pytest
from hypothesis import HealthCheck, settings
from tools import missing_tool

# How long an example takes is the machine's affair, and the same ones are tried everywhere: what is
# green here is green in CI.
settings.register_profile(
    "proctor", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("proctor")

# A person's own settings must not change what the tests see.
for name in [each for each in os.environ if each.startswith(("PROCTOR_", "PREFECT_"))]:
    if name != "PROCTOR_REQUIRE":
        del os.environ[name]
# Nor may the terminal they sit at, the ways of a CI system, or the hook of git's that started them.
TERMINAL = {
    *("COLUMNS", "LINES", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"),
    *("TTY_COMPATIBLE", "TTY_INTERACTIVE"),
}
REPOSITORY = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"}
for name in TERMINAL | REPOSITORY:
    os.environ.pop(name, None)
# Nobody's home is written to, and no server reports to its makers.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
# A shell without job control has its background jobs ignore Ctrl-C, and so would all they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory):
    """Records of the tests stay out of the person's own."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(autouse=True, scope="module")
def _prefect_ends_with_its_module():
    """Its threads would go on telling servers of flow runs in the middle of later tests."""
    yield
    services = sys.modules.get("prefect._internal.concurrency.services")
    if services is None or not services._QueueServiceBase._instances:
        return
    services._QueueServiceBase.drain_all(timeout=20, at_exit=False)
    # What they leave to the garbage collector is found here, and not in an innocent test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """`@pytest.mark.needs("chromium")`: skipped without the tool, or failed where CI requires it.

    Not a fixture: those of modules are made before those of functions, and a Docker image takes
    minutes to be made in vain.
    """
    for mark in item.iter_markers("needs"):
        for tool in mark.args:
            reason = missing_tool(tool)
            if not reason:
                continue
            if tool in os.environ.get("PROCTOR_REQUIRE", "").split(","):
                pytest.fail(f"PROCTOR_REQUIRE asks for {tool}: {reason}")
            pytest.skip(reason)
