"""What the store knows already: asked by who takes in news, and by who only wants to know."""

from __future__ import annotations

from dataclasses import dataclass

from .named_sql import load_sql
from .store import Connection

_OPEN_STATES = frozenset({"running", "interrupted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCampaign:
    """A campaign that the store has."""

    number: int
    name: str
    project: str
    state: str
    pruned: bool = False

    @property
    def is_open(self) -> bool:
        return self.state in _OPEN_STATES and not self.pruned


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """What the store has, and how far it has read."""

    campaigns: dict[str, KnownCampaign]
    # File to the bytes taken in, and the bytes that were there to see.
    journals: dict[str, tuple[int, int]]

    def offset(self, file: str) -> int:
        return self.journals.get(file, (0, 0))[0]

    def forget(self, campaign: KnownCampaign) -> None:
        prefix = f"campaigns/{campaign.name}/"
        self.journals = {
            file: seen for file, seen in self.journals.items() if not file.startswith(prefix)
        }


def knowledge_of(connection: Connection) -> Knowledge:
    """What the store has now."""
    sql = load_sql("ingest.sql")
    campaigns = connection.execute(sql["known-campaigns"]).fetchall()
    journals = connection.execute(sql["known-journals"]).fetchall()
    return Knowledge(
        campaigns={
            name: KnownCampaign(
                number=number, name=name, project=project, state=state, pruned=pruned
            )
            for number, name, project, state, pruned in campaigns
        },
        journals={file: (offset, seen) for _, _, file, offset, seen in journals},
    )
