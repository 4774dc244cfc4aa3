"""The case a person means: by its id, by a part of it, or the nearest ones there are."""

from __future__ import annotations

import difflib

from ...infra.errors import UnknownCase, UsageProblem
from ...infra.records import Case
from .digest import Digest
from .wording import printable

NAMED = 5
# Comparing letter by letter costs 10 us an id: of more than these only likely ones are looked at.
COMPARED = 20_000


def find_case(digest: Digest, text: str) -> Case:
    """The one case whose id is `text`, ends with it, or has it in it."""
    for fits in (_is, _ends, _has):
        found = [case for case in digest.cases if fits(case.id, text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageProblem(
                f"{len(found):,} cases of campaign {digest.campaign} match {text!r}",
                remedy=f"say more of one: {_named([case.id for case in found])}",
            )
    near = _nearest(digest, text)
    raise UnknownCase(
        f"campaign {digest.campaign} has no case {text!r}",
        remedy=f"nearest are: {_named(near)}" if near else f"see `proctor show {digest.campaign}`",
    )


def may_be(case: str, text: str) -> bool:
    """Whether the text may mean the case, where others may fit it better."""
    # Who ends with it has it.
    return _is(case, text) or _has(case, text)


def _is(case: str, text: str) -> bool:
    # Reports show ids with line ends and the like escaped; that form is typed back.
    return text in {case, printable(case)}


def _ends(case: str, text: str) -> bool:
    return case.endswith(("::" + text, "/" + text)) or case.partition("[")[0].endswith("::" + text)


def _has(case: str, text: str) -> bool:
    return text in case


def _nearest(digest: Digest, text: str) -> list[str]:
    ids = [case.id for case in digest.cases]
    if len(ids) > COMPARED:
        last = text.rpartition("::")[2].partition("[")[0]
        ids = [each for each in ids if last and last in each][:COMPARED] or ids[:COMPARED]
    near = difflib.get_close_matches(text, ids, n=NAMED, cutoff=0.5)
    if near:
        return near
    # A name without its file is too short to resemble a whole id.
    names = {each.rpartition("::")[2]: each for each in ids}
    return [names[name] for name in difflib.get_close_matches(text, names, n=NAMED, cutoff=0.6)]


def _named(ids: list[str]) -> str:
    shown = ", ".join(printable(each) for each in ids[:NAMED])
    return f"{shown}, …" if len(ids) > NAMED else shown
