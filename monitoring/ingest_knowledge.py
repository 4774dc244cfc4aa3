"""What the store knows already: asked by whoever takes in what is new, or only wants to know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .named_sql import load_sql

if TYPE_CHECKING:
    from .store import Connection

_OPEN_STATES = frozenset({"running", "interrupted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCampaign:
    """A campaign that the store has, or is about to have."""

    number: int
    name: str
    project: str
    # Empty for one that is only being read.
    state: str = ""
    pruned: bool = False

    @property
    def is_open(self) -> bool:
        return self.state in _OPEN_STATES and not self.pruned


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """What the store has and how far it has read; reading on, it grows."""

    campaigns: dict[str, KnownCampaign]
    projects: dict[str, int]
    last_campaign: int
    last_project: int
    # File to the bytes taken in, and the bytes that were there to see.
    journals: dict[str, tuple[int, int]]

    def offset(self, file: str) -> int:
        return self.journals.get(file, (0, 0))[0]

    def number_of(self, name: str, project: str) -> int:
        """The number of a campaign, given at first sight."""
        known = self.campaigns.get(name)
        if known is None:
            self.last_campaign += 1
            known = KnownCampaign(number=self.last_campaign, name=name, project=project)
            self.campaigns[name] = known
        elif known.project != project:
            self.campaigns[name] = replace(known, project=project)
        return known.number

    def forget(self, campaign: KnownCampaign) -> None:
        prefix = f"campaigns/{campaign.name}/"
        self.journals = {
            file: seen for file, seen in self.journals.items() if not file.startswith(prefix)
        }


def knowledge_of(connection: Connection) -> Knowledge:
    """What the store has now."""
    sql = load_sql("ingest.sql")
    campaigns = {
        name: KnownCampaign(number=number, name=name, project=project, state=state, pruned=pruned)
        for number, name, project, state, pruned in connection.execute(
            sql["known-campaigns"]
        ).fetchall()
    }
    projects: dict[str, int] = dict(connection.execute(sql["known-projects"]).fetchall())
    journals = connection.execute(sql["known-journals"]).fetchall()
    return Knowledge(
        campaigns=campaigns,
        projects=projects,
        last_campaign=max((each.number for each in campaigns.values()), default=0),
        last_project=max(projects.values(), default=0),
        journals={file: (offset, seen) for _, _, file, offset, seen in journals},
    )
