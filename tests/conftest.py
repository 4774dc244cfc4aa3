"""What every test can rely on: a clean environment, and tools that are there or said to be missing."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings
from tools import missing_tool

# How long an example takes is the machine's affair.
settings.register_profile("proctor", deadline=None)
settings.load_profile("proctor")

# A person's own settings must not change what the tests see.
for name in [each for each in os.environ if each.startswith(("PROCTOR_", "PREFECT_"))]:
    if name != "PROCTOR_REQUIRE":
        del os.environ[name]
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
