"""Says to `proctor up` where the workers of a bench come from: this machine, or a real work pool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from docker_images import worker_image

PROVIDERS = ("local", "process", "docker")


def fleet_arguments(provider: str, place: Path, *, most: int, idle: str) -> list[str]:
    """A fleet of single slots that sizes itself; what is below the place is there for containers."""
    text = f"cpu:slots=1,max={most},idle={idle}"
    match provider:
        case "local":
            return ["--auto", "--prefect", "off", "--class", text]
        case "process":
            return ["--auto", "--deadline", "180", "--class", f"{text},provider=work-pool"]
        case _:
            (place / "image").mkdir()
            cpu = {
                "slots": 1,
                "max": most,
                "idle_ttl": idle,
                "provider": "work-pool",
                "image": worker_image(place / "image"),
                "job_variables": {"volumes": [f"{place}:{place}"]},
            }
            templates = place / "worker_templates.json"
            templates.write_text(json.dumps({"classes": {"cpu": cpu}}))
            return ["--auto", "--deadline", "180", "--templates", str(templates), "--cpu", "1"]
