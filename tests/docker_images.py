"""The image of a worker, made from nothing but packages: no registry of images is asked.

A minimal Debian by debootstrap, with this machine's own certificates so that pip inside reaches the
index that pip outside reaches; then deployments/Dockerfile on it. Both are kept by content.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = "proctor-base:bookworm"
FOLDERS = ("blocks", "deployments", "flows", "infra", "monitoring")
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
MIRROR = "http://deb.debian.org/debian"


@cache
def worker_image(directory: Path) -> str:
    """Its name; built in the directory unless the engine has it."""
    name = f"proctor-worker:{_content()}"
    if _has(name):
        return name
    if not _has(BASE):
        _make_base(directory / "base")
    context = directory / "context"
    context.mkdir()
    shutil.copy(ROOT / "requirements.lock", context)
    wheel = [*(sys.executable, "-m", "build", "--wheel"), *("--outdir", context / "dist", ROOT)]
    _do(*wheel)
    _do(
        *("docker", "build", "--quiet", "--network", "host", "--build-arg", f"BASE={BASE}"),
        *("--file", ROOT / "deployments" / "Dockerfile", "--tag", name, context),
        # BuildKit's own client is a package of its own.
        DOCKER_BUILDKIT="0",
    )
    return name


def _make_base(root: Path) -> None:
    packages = "--include=python3-minimal,python3-venv,ca-certificates"
    _do("debootstrap", "--variant=minbase", packages, "bookworm", root, MIRROR)
    shutil.copy(CERTIFICATES, root / CERTIFICATES.lstrip("/"))
    variables = f"ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES}"
    skipped = ["--exclude=./var/cache/apt", "--exclude=./proc/*", "--exclude=./sys/*"]
    packed = subprocess.Popen(["tar", "-C", root, *skipped, "-c", "."], stdout=subprocess.PIPE)
    with packed:
        subprocess.run(
            ["docker", "import", "--change", variables, "-", BASE],
            stdin=packed.stdout,
            check=True,
            capture_output=True,
            timeout=300,
        )
    assert packed.returncode == 0
    shutil.rmtree(root)


def _content() -> str:
    digest = hashlib.sha256()
    files = [ROOT / "__init__.py", ROOT / "pyproject.toml", ROOT / "requirements.lock"]
    for folder in FOLDERS:
        files += [each for each in (ROOT / folder).rglob("*") if each.suffix != ".pyc"]
    for file in sorted(each for each in files if each.is_file()):
        digest.update(str(file.relative_to(ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def _has(image: str) -> bool:
    asked = ["docker", "image", "inspect", image]
    return subprocess.run(asked, capture_output=True, timeout=30, check=False).returncode == 0


def _do(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | environment,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
