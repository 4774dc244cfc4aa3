"""What tests of the store's ingest share: where a campaign lies, and what the store holds of it."""

from __future__ import annotations

import json
from pathlib import Path

from store_dump import dump

from proctor.monitoring.rebuild import rebuild
from proctor.monitoring.store import Store


def campaign(store: Store, name: str) -> Path:
    return store.state / "campaigns" / name


def rows(store: Store, query: str, *parameters):
    with store.reading() as connection:
        return connection.execute(query, list(parameters)).fetchall()


def rebuilt(store: Store):
    rebuild(store)
    return dump(store)


def append(path: Path, *lines) -> None:
    with path.open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
