"""How slow a campaign and each of its workers are beside what was foreseen, by what finished.

No history tells how busy the machines will be: on real ones a campaign took up to 2.5 times what
the one before it took, all cases together. So what is foreseen is a case's usual length, and the
campaign's own first cases say by how much all others will miss it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from math import exp, log
from statistics import median

# Of shorter cases the runner takes more than the worker.
LEAST_SECONDS = 0.01
# They count for a campaign by what so many take together. A suite of 62,000 short cases was judged
# by the 17 long ones, which the time before had waited for imports: all was taken for done in no
# time, and batches were cut to a tenth.
BUNDLE_SECONDS = 0.05
# So many of the newest cases tell: load comes and goes within a campaign.
RECENT = 16
RECENT_OF_WORKER = 16
# What is measured is believed as far as it is more than so many cases.
DOUBT = 1.0
DOUBT_OF_WORKER = 4.0
# A case that takes a thousand times as long waited for something.
_MOST = log(30.0)


@dataclass(slots=True)
class _Recent:
    """The newest logarithms of measured over foreseen, and their median once it was asked for."""

    values: deque[float]
    middle: float | None = None

    def add(self, value: float) -> None:
        self.values.append(value)
        self.middle = None

    def shrunk(self, doubt: float) -> float:
        count = len(self.values)
        if not count:
            return 0.0
        if self.middle is None:
            self.middle = median(self.values)
        return self.middle * count / (count + doubt)


@dataclass(slots=True)
class _Bundle:
    """Short cases of one worker, until they say something together."""

    foreseen: float = 0.0
    measured: float = 0.0


@dataclass(slots=True)
class Pace:
    """Learns from each case that finishes; 1 is as slow as foreseen, 2 takes twice as long."""

    # How fast workers were in earlier campaigns, by name; 1 is the mean of all.
    speeds: dict[str, float] = field(default_factory=dict[str, float])
    # How many cases of any kind each has finished.
    tried: Counter[str] = field(default_factory=Counter[str])
    _all: _Recent = field(default_factory=lambda: _Recent(deque(maxlen=RECENT)))
    _workers: dict[str, _Recent] = field(default_factory=dict[str, _Recent])
    _bundles: dict[str, _Bundle] = field(default_factory=dict[str, _Bundle])

    def learn(self, worker: str, foreseen: float, measured: float) -> None:
        """Take in one case that finished."""
        self.tried[worker] += 1
        if foreseen <= 0 or measured <= 0:
            return
        if foreseen < LEAST_SECONDS:
            self._bundle(worker, foreseen, measured)
            return
        apart = self._apart(worker, foreseen, measured)
        self._all.add(apart)
        own = self._workers.get(worker)
        if own is None:
            own = self._workers[worker] = _Recent(deque(maxlen=RECENT_OF_WORKER))
        # Beside the others at that time: load that came since is no property of the worker.
        own.add(apart - self._all.shrunk(DOUBT))

    def _bundle(self, worker: str, foreseen: float, measured: float) -> None:
        bundle = self._bundles.setdefault(worker, _Bundle())
        bundle.foreseen += foreseen
        bundle.measured += measured
        if bundle.foreseen >= BUNDLE_SECONDS:
            self._all.add(self._apart(worker, bundle.foreseen, bundle.measured))
            del self._bundles[worker]

    def _apart(self, worker: str, foreseen: float, measured: float) -> float:
        """How far what was measured is from what was foreseen, beside what it is known for."""
        return max(-_MOST, min(_MOST, log(measured / foreseen) - self._known(worker)))

    def seen(self, worker: str) -> int:
        """How many cases it finished that tell something; the newest few count."""
        own = self._workers.get(worker)
        return 0 if own is None else len(own.values)

    @property
    def of_all(self) -> float:
        """By what factor cases take longer than foreseen."""
        return exp(self._all.shrunk(DOUBT))

    def of(self, worker: str) -> float:
        """By what factor cases take longer on a worker."""
        own = self._workers.get(worker)
        apart = 0.0 if own is None else own.shrunk(DOUBT_OF_WORKER)
        return exp(self._all.shrunk(DOUBT) + apart + self._known(worker))

    def meet(self, worker: str, speed: float) -> None:
        """It joined: whoever had its name before was another."""
        self._workers.pop(worker, None)
        self._bundles.pop(worker, None)
        del self.tried[worker]
        self.speeds[worker] = speed

    def _known(self, worker: str) -> float:
        speed = self.speeds.get(worker, 1.0)
        return -log(speed) if speed > 0 else 0.0
