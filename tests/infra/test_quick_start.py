"""Imports and exits without a search for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from types import SimpleNamespace

import pytest

from proctor.infra import quick_start
from proctor.infra.quick_start import loading


@pytest.fixture
def collecting(monkeypatch):
    """In a process of ours; whatever a test does, garbage is searched for afterwards."""
    monkeypatch.setattr(quick_start, "_process", SimpleNamespace(ours=True))
    # Commands that other tests called in this process may have frozen theirs.
    gc.unfreeze()
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.usefixtures("collecting")
def test_garbage_is_searched_for_again_after_an_import_that_fails() -> None:
    """A process that goes on must not grow for ever."""
    with pytest.raises(ImportError), loading("no.such.module"):
        _fail(meanwhile=gc.isenabled())
    assert gc.isenabled()


def _fail(*, meanwhile: bool) -> None:
    assert not meanwhile
    raise ImportError


@pytest.mark.usefixtures("collecting")
def test_what_is_loaded_already_changes_nothing() -> None:
    """Campaigns of a process that conducts many do not freeze each other's garbage."""
    with loading("sys"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("collecting")
def test_a_process_of_somebody_else_keeps_its_rules(monkeypatch) -> None:
    """Who calls us from Python may have much in memory that is still to be found."""
    monkeypatch.setattr(quick_start, "_process", SimpleNamespace(ours=False))
    with loading("no.such.module"):
        assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.usefixtures("collecting")
def test_a_process_that_does_without_is_left_so() -> None:
    """Whoever switched it off did so on purpose."""
    gc.disable()
    with loading("no.such.module"):
        pass
    assert not gc.isenabled()


def test_the_hosts_of_a_fleet_load_dask_only_when_they_are_run() -> None:
    """What is imported at the top would be searched for garbage."""
    code = (
        "import sys; import proctor.infra.fleet.worker_host, proctor.infra.fleet.scheduler_host\n"
        "print('dask' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "False\n"


def test_dask_is_loaded_without_numpy_which_may_come_later() -> None:
    """No process of a fleet needs it; a campaign's own may, after it was loaded so."""
    script = (
        "import sys\n"
        "from proctor.infra.quick_start import end_quickly, loading\n"
        "end_quickly()\n"
        "with loading('distributed'):\n"
        "    import distributed\n"
        "assert 'numpy' not in sys.modules\n"
        "import numpy\n"
        "assert numpy.arange(3).sum() == 3\n"
        "from distributed.protocol import deserialize, serialize\n"
        "assert deserialize(*serialize(numpy.arange(3))).sum() == 3\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
