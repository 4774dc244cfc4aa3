"""All that a store says, without the numbers that depend on the order of reading."""

from __future__ import annotations

from typing import Any

from proctor.monitoring.store import Store

_DUMPS = {
    "results": "SELECT * FROM results",
    "history": """SELECT k.case_id, c.campaign, h.* EXCLUDE (case_no, campaign_no, worker_no)
        FROM history h JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "case_results": "SELECT * FROM case_results",
    "cases": """SELECT p.project, k.* EXCLUDE (case_no, project_no)
        FROM cases k JOIN projects p USING (project_no)""",
    "campaigns": """SELECT p.project, c.* EXCLUDE (campaign_no, project_no)
        FROM campaigns c JOIN projects p USING (project_no)""",
    "campaign_cases": """SELECT c.campaign, k.case_id, n.* EXCLUDE (campaign_no, case_no)
        FROM campaign_cases n JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "case_events": """SELECT c.campaign, k.case_id, n.* EXCLUDE (campaign_no, case_no)
        FROM case_events n JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "amendments": """SELECT c.campaign, k.case_id, n.* EXCLUDE (campaign_no, case_no)
        FROM amendments n JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "metrics": """SELECT c.campaign, k.case_id, n.* EXCLUDE (campaign_no, case_no)
        FROM metrics n JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "attempt_notes": """SELECT c.campaign, k.case_id, n.* EXCLUDE (campaign_no, case_no)
        FROM attempt_notes n JOIN campaigns c USING (campaign_no) JOIN cases k USING (case_no)""",
    "workers": """SELECT c.campaign, w.* EXCLUDE (campaign_no, worker_no)
        FROM workers w JOIN campaigns c USING (campaign_no)""",
    "worker_events": """SELECT c.campaign, w.worker, e.* EXCLUDE (campaign_no, worker_no)
        FROM worker_events e JOIN campaigns c USING (campaign_no) JOIN workers w USING (worker_no)""",
    "worker_figures": """SELECT c.campaign, w.worker, w.incarnation,
        f.* EXCLUDE (campaign_no, worker_no)
        FROM worker_figures f JOIN campaigns c USING (campaign_no)
        JOIN workers w USING (worker_no)""",
    "journals": 'SELECT file, epoch, "offset" FROM journals',
    "problems": "SELECT file, place, kind, text FROM problems",
    **{
        table: f"SELECT c.campaign, t.* EXCLUDE (campaign_no) FROM {table} t"
        " JOIN campaigns c USING (campaign_no)"
        for table in ("openings", "phases", "plans", "closes", "notes", "batches")
    },
    **{
        table: f"SELECT * FROM {table}"
        for table in ("usage_samples", "decisions", "grades", "faults", "findings")
    },
    "case_days": """SELECT p.project, k.case_id, d.* EXCLUDE (project_no, case_no)
        FROM case_days d JOIN projects p USING (project_no) JOIN cases k USING (case_no)""",
}


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.reading() as connection:
        return {
            name: sorted(connection.execute(query).fetchall(), key=repr)
            for name, query in _DUMPS.items()
        }
