-- Each section is one Parquet file of `proctor store export`; names instead of numbers.

-- name: attempts
SELECT * FROM results ORDER BY project, campaign, epoch, place

-- name: verdicts
SELECT * FROM case_results ORDER BY project, campaign, case_id

-- name: campaigns
SELECT p.project, c.* EXCLUDE (campaign_no, project_no)
FROM campaigns c
JOIN projects p USING (project_no)
ORDER BY p.project, c.opened_at

-- name: case_days
SELECT p.project, k.case_id, d.* EXCLUDE (project_no, case_no)
FROM all_case_days d
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
ORDER BY p.project, k.case_id, d.day

-- name: metrics
SELECT p.project, c.campaign, c.commit_id, k.case_id, m.attempt, m.happened_at, m.name, m.value,
    m.text, m.unit, m.better
FROM metrics m
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
ORDER BY p.project, c.campaign, m.epoch, m.place

-- name: workers
SELECT c.campaign, w.* EXCLUDE (worker_no, campaign_no)
FROM workers w
JOIN campaigns c USING (campaign_no)
ORDER BY c.campaign, w.worker, w.incarnation

-- name: utilisation
SELECT * FROM utilisation ORDER BY project, campaign, worker_class

-- name: allocation_efficiency
SELECT * FROM allocation_efficiency ORDER BY project, campaign, worker_class

-- name: usage_samples
SELECT * EXCLUDE (file, place) FROM usage_samples ORDER BY happened_at, worker

-- name: scaling
SELECT * FROM scaling ORDER BY happened_at

-- name: faults
SELECT * EXCLUDE (file, place) FROM faults ORDER BY happened_at

-- name: findings
SELECT * FROM current_findings ORDER BY happened_at

-- name: prefect_flow_runs
SELECT * FROM prefect_flow_runs ORDER BY created_at

-- name: prefect_task_runs
SELECT * FROM prefect_task_runs ORDER BY created_at

-- name: prefect_states
SELECT * FROM prefect_states ORDER BY happened_at
