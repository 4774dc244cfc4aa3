"""Cases see the GPUs of their slot, and no others."""

from __future__ import annotations

from pathlib import Path

from real_campaigns import executions, run, write_project

from proctor.infra.fleet.local_fleet import LocalFleet
from proctor.infra.records import WorkerFacts


def test_each_slot_sees_its_own_devices(tmp_path: Path) -> None:
    """Tests and commands alike; a worker without devices hides nothing."""
    project = write_project(
        tmp_path / "p",
        {
            f"test_{name}.py": """\
                import os, pytest
                from executions import ran, wait_for
                @pytest.mark.resources(gpu=1)
                @pytest.mark.parametrize("n", range(4))
                def test_it(n):
                    devices = os.environ["CUDA_VISIBLE_DEVICES"]
                    open(f"seen-{devices}", "w").close()
                    # No slot leaves everything to the other.
                    wait_for("seen-3")
                    wait_for("seen-5")
                    ran(devices + "/" + os.environ["CUDA_DEVICE_ORDER"])
                """
            for name in "ab"
        }
        | {
            "test_plain.py": """\
                import os
                from executions import ran
                @__import__("pytest").mark.resources(tags=["plain"])
                def test_it():
                    ran("plain/" + os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
                """
        },
    )
    pinned = WorkerFacts(
        name="gpu-1", incarnation="", worker_class="gpu", slots=2, cpu=2, memory_bytes=8 * 2**30,
        gpu=2, devices=("3", "5"),
    )  # fmt: skip
    plain = WorkerFacts(
        name="cpu-1", incarnation="", worker_class="cpu", slots=1, cpu=1, memory_bytes=2**30,
        tags=frozenset({"plain"}),
    )  # fmt: skip
    with LocalFleet(workers=(pinned, plain), scratch=tmp_path / "scratch") as fleet:
        conducted = run(project, tmp_path / "state", fleet=fleet.address())

    assert conducted.exit_code == 0
    counts = executions(project)
    assert counts["plain/all"] == 1
    assert {seen for seen in counts if not seen.startswith("plain")} == {
        "3/PCI_BUS_ID",
        "5/PCI_BUS_ID",
    }
