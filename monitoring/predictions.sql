-- What predictions are made of.

-- name: projects
-- Each project with the newest campaign that is over.
SELECT p.project, max_by(c.campaign, c.opened_at) AS campaign
FROM campaigns c
JOIN projects p USING (project_no)
WHERE c.state <> 'running' AND c.pruned_at IS NULL
GROUP BY p.project
ORDER BY p.project

-- name: recent
-- Older campaigns tell of another suite.
SELECT c.campaign_no, c.campaign
FROM campaigns c
JOIN projects p USING (project_no)
WHERE p.project = $project AND c.state <> 'running' AND c.pruned_at IS NULL
ORDER BY c.opened_at DESC, c.campaign DESC
LIMIT $campaigns

-- name: cases
SELECT k.case_no, k.case_id, k.file, max_by(n.tags, n.campaign_no) AS marks
FROM campaign_cases n
JOIN cases k USING (case_no)
WHERE n.campaign_no IN (SELECT unnest($recent))
GROUP BY ALL
ORDER BY k.case_no

-- name: runs
SELECT a.case_no, a.campaign_no, CAST(a.outcome AS VARCHAR) AS outcome,
    greatest(a.seconds - coalesce(a.shared_setup_seconds, 0), 0) AS seconds,
    coalesce(a.cpu_seconds, 0) AS cpu_seconds,
    CAST(coalesce(a.peak_memory_bytes, 0) AS DOUBLE) AS peak_bytes,
    CAST(coalesce(a.read_bytes, 0) + coalesce(a.write_bytes, 0) AS DOUBLE) AS moved_bytes,
    CAST(coalesce(a.gpu_memory_bytes, 0) AS DOUBLE) AS gpu_bytes,
    coalesce(w.worker, '') AS worker,
    coalesce(w.host, '') || '/' || coalesce(w.worker_class, '') AS machine,
    epoch(a.started) AS started,
    CAST(coalesce(w.memory_bytes, 0) AS DOUBLE) / greatest(coalesce(w.slots, 1), 1) AS share_bytes,
    coalesce(w.gpu, 0) > 0 AND NOT coalesce(w.simulated_gpu, FALSE) AS has_gpu
FROM attempts a
LEFT JOIN workers w USING (worker_no)
WHERE a.campaign_no IN (SELECT unnest($recent))
    AND a.outcome IN ('passed', 'xfailed', 'xpassed', 'failed', 'out-of-memory')
QUALIFY row_number() OVER (
    PARTITION BY a.case_no ORDER BY a.started DESC, a.epoch DESC, a.place DESC
) <= $most
ORDER BY a.case_no, a.started, a.epoch, a.place
