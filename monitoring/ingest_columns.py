"""The columns of what ingest adds to each table, in the order of the table."""

from __future__ import annotations

from .frames import Columns, Kind

_W, _I, _N, _T, _AT, _C, _S, _F = (
    Kind.WHOLE, Kind.INDEX, Kind.NUMBER, Kind.TEXT, Kind.TIME, Kind.COUNT, Kind.SMALL, Kind.FLAG,
)  # fmt: skip
_LINE: Columns = {"campaign_no": _W, "epoch": _W, "place": _W, "happened_at": _AT}
_OF_CASE: Columns = {"campaign_no": _W, "case_no": _W, "epoch": _W, "place": _W}
_RECORDED: Columns = {"file": _T, "place": _W, "happened_at": _AT}

PROJECTS: Columns = {"project_no": _W, "project": _T}
CASES: Columns = {
    "case_no": _W, "project_no": _W, "case_id": _T, "file": _T, "function": _T, "kind": _T,
}  # fmt: skip
WORKERS: Columns = {
    "worker_no": _W, "campaign_no": _W, "worker": _T, "incarnation": _T, "worker_class": _T,
    "slots": _S, "cpu": _N, "memory_bytes": _C, "gpu": _N, "tags": _T, "host": _T,
    "simulated_gpu": _F,
}  # fmt: skip
JOURNALS: Columns = {
    "campaign_no": _C, "epoch": _C, "file": _T, "offset": _W, "seen_bytes": _W,
}  # fmt: skip
PROBLEMS: Columns = {"campaign_no": _C, "file": _T, "place": _C, "kind": _T, "text": _T}
STANDINGS: Columns = {"campaign_no": _W, "campaign": _T, "project_no": _W, "state": _T}
NUMBERS: Columns = {"campaign_no": _W}
DROPPED: Columns = {"campaign_no": _W, "pruned_at": _AT}
WANTED: Columns = {"project_no": _W, "case_id": _T}

# Lines of a campaign's journal.
OPENINGS: Columns = {
    **_LINE, "campaign": _T, "name": _T, "root": _T, "project": _T, "command": _T, "settings": _T,
    "host": _T, "pid": _C, "commit_id": _T, "environment": _T, "branch": _T,
}  # fmt: skip
PHASES: Columns = {**_LINE, "phase": _T}
PLANS: Columns = {
    **_LINE, "slots": _S, "predicted_makespan_seconds": _N, "lower_bound_seconds": _N,
    "known_cases": _S, "unknown_cases": _S,
}  # fmt: skip
CLOSES: Columns = {
    **_LINE, "state": _T, "exit_code": _S, "makespan_seconds": _N, "lower_bound_seconds": _N,
    "slots": _S, "counts": _T,
}  # fmt: skip
NOTES: Columns = {**_LINE, "level": _T, "text": _T}
BATCHES: Columns = {**_LINE, "batch": _T, "worker": _T, "slot": _S, "cases": _W, "why": _T}
WORKER_EVENTS: Columns = {**_LINE, "worker_no": _W, "event": _T, "reason": _T}

# Lines about a case; the reader gives its id, the numbers come after.
CAMPAIGN_CASES: Columns = {
    **_OF_CASE, "index": _I, "needs_cpu": _N, "needs_memory_bytes": _C, "needs_gpu": _N,
    "needs_tags": _T, "timeout_seconds": _N, "tags": _T,
}  # fmt: skip
CASE_EVENTS: Columns = {**_OF_CASE, "event": _T, "reason": _T}
ATTEMPTS: Columns = {
    **_OF_CASE, "attempt": _T, "outcome": _T, "started": _AT, "finished": _AT, "seconds": _N,
    "cpu_seconds": _N, "peak_memory_bytes": _C, "read_bytes": _C, "write_bytes": _C,
    "gpu_utilisation": _N, "gpu_memory_bytes": _C, "setup_seconds": _N, "call_seconds": _N,
    "teardown_seconds": _N, "shared_setup_seconds": _N, "worker_no": _W, "slot": _S, "batch": _T,
    "message": _T, "output_epoch": _S, "output_offset": _C, "output_length": _C,
}  # fmt: skip
AMENDMENTS: Columns = {
    **_OF_CASE, "happened_at": _AT, "attempt": _T, "outcome": _T, "message": _T, "output_epoch": _S,
    "output_offset": _C, "output_length": _C,
}  # fmt: skip
# What is asked about attempts: whether they were recorded before.
ARRIVED: Columns = {
    "campaign_no": _W, "epoch": _W, "place": _W, "attempt": _T, "outcome": _T,
}  # fmt: skip
ATTEMPT_NOTES: Columns = {**_OF_CASE, "attempt": _T, "text": _T}
METRICS: Columns = {
    **_OF_CASE, "attempt": _T, "happened_at": _AT, "name": _T, "value": _N, "text": _T, "unit": _T,
    "better": _T,
}  # fmt: skip

# Lines of other recorders' journals.
USAGE_SAMPLES: Columns = {
    **_RECORDED, "worker": _T, "incarnation": _T, "worker_class": _T, "host": _T, "slots": _S,
    "busy_slots": _S, "cpu": _N, "cpu_used": _N, "memory_bytes": _C, "memory_used_bytes": _C,
    "gpu": _N, "gpu_used": _N, "gpu_memory_bytes": _C, "gpu_memory_used_bytes": _C,
}  # fmt: skip
DECISIONS: Columns = {
    **_RECORDED, "decision": _T, "worker_class": _T, "from_workers": _S, "to_workers": _S,
    "reason": _T, "policy": _T, "inputs": _T,
}  # fmt: skip
GRADES: Columns = {
    **_RECORDED, "decision": _T, "grade": _T, "effect_seconds": _N, "cost_seconds": _N, "text": _T,
}  # fmt: skip
FAULTS: Columns = {
    **_RECORDED, "fault": _T, "experiment": _T, "kind": _T, "target": _T, "event": _T,
    "until": _AT, "detail": _T,
}  # fmt: skip
FINDINGS: Columns = {
    **_RECORDED, "finding": _T, "kind": _T, "status": _T, "project": _T, "case_id": _T,
    "metric": _T, "worker_class": _T, "since": _AT, "commit_id": _T, "size": _N, "size_low": _N,
    "size_high": _N, "probability": _N, "text": _T, "detail": _T,
}  # fmt: skip
