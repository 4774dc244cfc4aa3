"""What a campaign waits for, and for how long: every wait ends, and says what it waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from ..dispatching.lanes import Lane
from ..errors import FleetUnavailable, InfrastructureProblem, ProctorError
from ..records import Requirements, WorkerFacts
from ..resources import check_satisfiable
from ..wanted_workers import Mend

# Nine times the rhythm of a busy worker, and well above what a crowded machine delays it by. It
# leaves a second for saying so: a frozen worker is to be known after ten.
SILENCE_SECONDS = 9.0
# Workers that idle while cases wait.
IDLE_SECONDS = 60.0
# A fleet without any worker, or without one of a kind that cases need, is given so long.
EMPTY_FLEET_SECONDS = 60.0
# One that somebody took down is given the time in which its next one is started.
TAKEN_DOWN_SECONDS = 5.0
# One that the fleet says is starting: a machine that boots, an image that is fetched.
LONGEST_START_SECONDS = 900.0
ASK_SECONDS = 1.0
# Workers that start are there by then; a longer wait is told.
QUIET_SECONDS = 3.0
# A campaign that was itself away for so long (a stopped process, a wait) cannot blame the silent.
PAUSE_SECONDS = 1.0
# So often one worker may answer and fall silent again with no word of anyone between.
MOST_SILENCES = 4


class Patience:
    """Since when what is waited for has not come; the times are those of a monotonic clock."""

    def __init__(
        self,
        campaign: str,
        is_coming: Callable[[], bool] = lambda: False,
        *,
        is_down: Callable[[], bool] = lambda: False,
        mend: Mend = Mend.EITHER,
        flags: str = "",
    ) -> None:
        """`is_coming` says whether the fleet has a worker that starts: machines take minutes.

        `is_down` says whether somebody took the fleet down, and none was started since.
        `mend` and `flags` say what to type for other workers, and to go on.
        """
        self._mend, self._flags = mend, flags
        self._is_coming, self._is_down = is_coming, is_down
        self._asked_at = self._looked_at = float("-inf")
        self._comes = self._down = False
        self._resume = f"run `proctor resume {campaign}{flags}`"
        self._empty_since: float | None = None
        self._empty_told = False
        self._idle_since: float | None = None
        self._unserved_since: dict[Requirements, float] = {}
        self._last_word: dict[str, float] = {}
        self._turn = 0.0
        self._silences: Counter[str] = Counter()

    def take_turn(self, now: float) -> None:
        """The campaign looks around: what nobody could hear while it was away is no silence."""
        away = now - self._turn
        if self._turn and away > PAUSE_SECONDS:
            self._last_word = {name: when + away for name, when in self._last_word.items()}
        self._turn = now

    def spoke(self, worker: str, now: float) -> None:
        """A message of it arrived."""
        self._silences.clear()
        self.heard(worker, now)

    def heard(self, worker: str, now: float) -> None:
        """It said something, or was just given something to do."""
        self._last_word[worker] = now

    def silent(self, busy: Iterable[str], now: float) -> list[tuple[str, float]]:
        """The workers that have something to do and said nothing of it for too long."""
        silences = ((name, now - self._last_word.setdefault(name, now)) for name in busy)
        found = [(name, silence) for name, silence in silences if silence > SILENCE_SECONDS]
        self._silences.update(name for name, _silence in found)
        for name, times in self._silences.most_common(1):
            if times > MOST_SILENCES:
                raise InfrastructureProblem(
                    f"worker {name} answered {MOST_SILENCES} times, and nothing that it or any"
                    " other says of its work arrives",
                    remedy=f"see the workers' logs; then {self._resume}",
                )
        return found

    def check_fleet(self, workers: Collection[WorkerFacts], now: float) -> str:
        """A fleet without any worker gets one within a while; what to say of the wait, once."""
        if workers:
            self._empty_since, self._empty_told = None, False
            return ""
        if self._empty_since is None:
            self._empty_since = now
            return ""
        waited = now - self._empty_since
        if waited > TAKEN_DOWN_SECONDS and self._is_taken_down(now):
            raise FleetUnavailable(
                "the fleet was taken down", remedy=f"start one with `proctor up` and {self._resume}"
            )
        if self._is_given_up(self._empty_since, now):
            raise FleetUnavailable(
                f"the fleet has had no worker for {waited:.0f} s",
                remedy=f"bring workers up and {self._resume}",
            )
        if waited <= QUIET_SECONDS or self._empty_told:
            return ""
        self._empty_told = True
        if self._is_taken_down(now):
            return f"the fleet was taken down; waiting for one, {TAKEN_DOWN_SECONDS:g} s at most"
        return f"the fleet has no worker; waiting for one, {EMPTY_FLEET_SECONDS:g} s at most"

    def _is_taken_down(self, now: float) -> bool:
        if now - self._looked_at > ASK_SECONDS:
            self._looked_at, self._down = now, self._is_down()
        return self._down

    def check_needs(
        self,
        unservable: Iterable[Lane],
        known: Sequence[WorkerFacts],
        now: float,
        *,
        others: bool = False,
        hindrance: Callable[[Requirements], ProctorError | None] = lambda needs: None,
    ) -> None:
        """What no worker can ever run is said at once; what none can run now, after a while.

        While there are `others` that somebody runs or can run, nothing is given up. `hindrance`
        says what kept a worker that fits from working.
        """
        cases = {lane.needs: lane.cases() for lane in unservable}
        check_satisfiable(cases, known, mend=self._mend, flags=self._flags)
        # Who was there in between is waited for anew.
        self._unserved_since = {needs: self._unserved_since.get(needs, now) for needs in cases}
        for needs, waiting in cases.items():
            since = self._unserved_since[needs]
            if not others and self._is_given_up(since, now):
                case, why = next(waiting), hindrance(needs)
                told = f"no worker that fits {case.id} has been there for {now - since:.0f} s"
                if why is not None:
                    mend = ", then ".join(filter(None, (why.remedy, self._resume)))
                    raise FleetUnavailable(f"{told}: {why.message}", remedy=mend)
                raise FleetUnavailable(told, remedy=f"bring one up and {self._resume}")

    def _is_given_up(self, since: float, now: float) -> bool:
        """Whether a worker was waited for long enough; one that starts has longer."""
        waited = now - since
        if waited <= EMPTY_FLEET_SECONDS:
            return False
        if now - self._asked_at > ASK_SECONDS:
            self._asked_at, self._comes = now, self._is_coming()
        return waited > LONGEST_START_SECONDS or not self._comes

    def check_progress(self, idle_with_waiting: int, now: float) -> None:
        """Workers that idle while so many cases wait for long are a defect of ours: say so."""
        if not idle_with_waiting:
            self._idle_since = None
            return
        if self._idle_since is None:
            self._idle_since = now
        if now - self._idle_since > IDLE_SECONDS:
            raise InfrastructureProblem(
                f"{idle_with_waiting} cases wait and nothing was sent for {IDLE_SECONDS:g} s: "
                "a defect of Proctor",
                remedy=f"please report it, and {self._resume}",
            )
