"""What `proctor join` refuses before anything is started, in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from proctor.deployments.cli import main


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (["nonsense"], "'nonsense' is no scheduler's address"),
        (["tls://farm:99999"], "'tls://farm:99999' is no scheduler's address"),
        (["tcp://192.0.2.7:8786"], "tcp://192.0.2.7:8786 is a fleet in the clear"),
        (["farm.example:8786"], "holds no ca.pem, fleet.pem, fleet-key.pem"),
        (
            ["tcp://127.0.0.1:1", "--class", "big:slots=1,memory=900TB"],
            "worker big-1 is to have memory=900TB, and this machine has",
        ),
        (
            ["tcp://127.0.0.1:1", "--python", "/nowhere/python"],
            "--python /nowhere/python is no interpreter of this machine",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    line: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No worker would say it but in its log."""
    assert main(["join", *line, "--state", str(tmp_path)]) == 4
    told = capsys.readouterr().err
    assert reason in told
    assert "Traceback" not in told
