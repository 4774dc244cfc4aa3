"""The wheel's lists in pyproject.toml name every folder with modules and every data file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
# Folders of the repository that are no part of the package.
ELSEWHERE = {"tests", "build", "dist", "docs", "node_modules"}


def _product() -> Iterator[Path]:
    """Environments and caches are not gone through: others may be at work in them."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            each
            for each in folders
            if each not in ELSEWHERE and not each.startswith((".", "__pycache__"))
        ]
        folders[:] = [each for each in folders if not each.endswith(".egg-info")]
        yield from (Path(folder, each) for each in files if not each.startswith("."))


PRODUCT = list(_product())


def _package(path: Path) -> str:
    return ".".join(("proctor", *path.relative_to(ROOT).parts[:-1]))


def test_every_folder_with_modules_is_a_package_of_the_wheel() -> None:
    """Setuptools finds none by itself: a folder that is not listed would be left out."""
    folders = {_package(path) for path in PRODUCT if path.suffix == ".py"}
    assert folders == set(SETUPTOOLS["packages"])
    for package in folders:
        folder = ROOT.joinpath(*package.split(".")[1:])
        assert (folder / "__init__.py").is_file(), f"{package} lacks its __init__.py"


def test_every_data_file_is_package_data() -> None:
    """Whatever stands beside modules and is no module is opened by one of them."""
    packages = set(SETUPTOOLS["packages"]) - {"proctor"}
    data = SETUPTOOLS["package-data"]
    missing = [
        str(path.relative_to(ROOT))
        for path in PRODUCT
        if path.suffix != ".py"
        and any(
            _package(path) == each or _package(path).startswith(f"{each}.") for each in packages
        )
        and not _is_listed(path, data)
    ]
    assert missing == []


def _is_listed(path: Path, data: dict[str, list[str]]) -> bool:
    return any(
        fnmatch(str(path.relative_to(ROOT.joinpath(*package.split(".")[1:]))), pattern)
        for package, patterns in data.items()
        if path.is_relative_to(ROOT.joinpath(*package.split(".")[1:])) and package != "proctor"
        for pattern in patterns
    )
