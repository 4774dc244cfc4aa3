"""Temporary folders of a campaign's sessions: shared, kept for a while, and never taken away in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from proctor.infra.session.temporary import KEPT, share_base


class Factory:
    """What pytest has for temporary folders: one with a number each, below one root."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._basetemp: Path | None = None
        self._given_basetemp: Path | None = None

    def getbasetemp(self) -> Path:
        if self._basetemp is None:
            self._basetemp = self._root / f"pytest-{len(list(self._root.glob('pytest-*')))}"
            self._basetemp.mkdir()
        return self._basetemp


def begin(root: Path, worker: str, run: str) -> Path:
    factory = Factory(root)
    share_base(SimpleNamespace(_tmp_path_factory=factory), worker=worker, run_id=run)
    return factory.getbasetemp()


def begin_and_end(root: Path, run: str, age: int) -> Path:
    """A session of another process, which is over; a folder of that age."""
    script = (
        "import sys; from pathlib import Path; from test_session_temporary import begin;"
        "print(begin(Path(sys.argv[1]), 'gw0', sys.argv[2]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(root), run],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        timeout=60,
    )
    own = Path(ended.stdout.strip())
    born = own.parent.stat().st_mtime - age
    os.utime(own.parent, (born, born))
    return own


def test_what_is_old_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    """The newest are kept, as pytest keeps its own; a campaign that still runs keeps its folder."""
    old = [begin_and_end(tmp_path, f"old{age}", age) for age in (500, 400, 300)]
    used = begin(tmp_path, "gw0", "used")
    os.utime(used.parent, (1, 1))
    newest = begin(tmp_path, "gw0", "newest")
    kept = [newest, old[2], old[1]]
    assert len(kept) == KEPT
    assert [each.exists() for each in (*kept, used, old[0])] == [True, True, True, True, False]


def test_pytests_own_folder_stays_to_keep_its_number(tmp_path: Path) -> None:
    """Another run may have a free number at once, and the end of this one would unlock that."""
    begin(tmp_path, "gw0", "one")
    begin(tmp_path, "gw1", "one")
    assert sorted(each.name for each in tmp_path.glob("pytest-*")) == ["pytest-0", "pytest-1"]
    assert sorted(each.name for each in (tmp_path / "proctor-one").glob("popen-*")) == [
        "popen-gw0",
        "popen-gw1",
    ]


def test_a_base_that_somebody_named_is_used(tmp_path: Path) -> None:
    """`--basetemp` comes first."""
    factory = Factory(tmp_path)
    factory._given_basetemp = tmp_path / "named"
    share_base(SimpleNamespace(_tmp_path_factory=factory), worker="gw0", run_id="one")
    assert not list(tmp_path.iterdir())
