-- What dashboards ask. Parameters: $project (all if NULL), $since (a moment; all if NULL), $limit.

-- name: campaigns
SELECT p.project, c.campaign, c.name, c.commit_id, c.state, c.exit_code, c.opened_at, c.closed_at,
    c.cases, c.attempts, c.passed, c.failed, c.flaky, c.muted, c.infra_lost, c.not_run,
    c.makespan_seconds, c.lower_bound_seconds, c.slots
FROM campaigns c
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
ORDER BY c.opened_at DESC, c.campaign DESC
LIMIT $limit

-- name: success-by-day
SELECT * FROM success_rates
WHERE ($project IS NULL OR project = $project) AND ($since IS NULL OR day >= CAST($since AS DATE))
ORDER BY day DESC, project
LIMIT $limit

-- name: outcomes-by-day
SELECT CAST(a.started AS DATE) AS day, a.outcome, count(*) AS attempts, sum(a.seconds) AS seconds
FROM attempts a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR a.started >= $since)
GROUP BY ALL
ORDER BY day DESC, a.outcome
LIMIT $limit

-- name: durations-by-day
SELECT CAST(a.started AS DATE) AS day, count(*) AS attempts,
    quantile_cont(a.seconds, 0.5) AS median_seconds,
    quantile_cont(a.seconds, 0.95) AS p95_seconds, max(a.seconds) AS max_seconds
FROM attempts a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR a.started >= $since)
    AND is_result(a.outcome)
GROUP BY ALL
ORDER BY day DESC
LIMIT $limit

-- name: slowest-cases
WITH told AS (
    SELECT a.case_no, count(*) AS attempts, sum(a.seconds) AS seconds,
        avg(a.seconds) AS mean_seconds, max(a.seconds) AS max_seconds,
        max(a.peak_memory_bytes) AS peak_memory_bytes
    FROM attempts a
    JOIN campaigns c USING (campaign_no)
    JOIN projects p USING (project_no)
    WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR a.started >= $since)
        AND is_result(a.outcome)
    GROUP BY ALL
    ORDER BY mean_seconds DESC
    LIMIT $limit
)
SELECT k.case_id, t.* EXCLUDE (case_no)
FROM told t
JOIN cases k USING (case_no)
ORDER BY t.mean_seconds DESC

-- name: failing-cases
WITH told AS (
    SELECT v.case_no, count(*) AS campaigns, count(*) FILTER (is_blamed(v.judgement)) AS failed,
        count(*) FILTER (v.judgement = 'flaky') AS flaky,
        arg_max(v.judgement, v.decided_at) AS last_judgement,
        max(v.decided_at) FILTER (is_blamed(v.judgement) OR v.judgement = 'flaky') AS last_failed
    FROM verdicts v
    JOIN campaigns c USING (campaign_no)
    JOIN projects p USING (project_no)
    WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
        AND c.state <> 'refused'
    GROUP BY ALL
    HAVING last_failed IS NOT NULL
)
SELECT k.case_id, t.* EXCLUDE (case_no)
FROM told t
JOIN cases k USING (case_no)
ORDER BY t.failed + t.flaky DESC, t.last_failed DESC, k.case_id
LIMIT $limit

-- name: failure-messages
SELECT v.judgement, v.message, count(*) AS verdicts, count(DISTINCT v.case_no) AS cases,
    max(v.decided_at) AS last_seen
FROM verdicts v
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
WHERE is_blamed(v.judgement)
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
GROUP BY ALL
ORDER BY verdicts DESC
LIMIT $limit

-- name: utilisation
SELECT * FROM utilisation
WHERE ($project IS NULL OR project = $project) AND ($since IS NULL OR opened_at >= $since)
ORDER BY opened_at DESC, worker_class
LIMIT $limit

-- name: allocation-efficiency
SELECT * FROM allocation_efficiency
WHERE ($project IS NULL OR project = $project) AND ($since IS NULL OR opened_at >= $since)
ORDER BY opened_at DESC, worker_class
LIMIT $limit

-- name: overhead
SELECT * FROM overhead
WHERE ($project IS NULL OR project = $project) AND ($since IS NULL OR opened_at >= $since)
ORDER BY opened_at DESC
LIMIT $limit

-- name: scaling
SELECT * FROM scaling
WHERE $since IS NULL OR happened_at >= $since
ORDER BY happened_at DESC
LIMIT $limit

-- name: findings
SELECT * FROM current_findings
WHERE ($project IS NULL OR project = $project) AND ($since IS NULL OR happened_at >= $since)
ORDER BY happened_at DESC
LIMIT $limit

-- name: last-attempts
-- The newest campaigns with enough attempts say from when on; all that ran since then may count.
WITH mine AS (
    SELECT c.campaign_no, c.first_case_at, c.last_case_at,
        sum(c.attempts) OVER (
            ORDER BY c.opened_at DESC, c.campaign_no DESC ROWS UNBOUNDED PRECEDING
        ) - c.attempts AS newer
    FROM campaigns c
    JOIN projects p USING (project_no)
    WHERE c.first_case_at IS NOT NULL AND c.pruned_at IS NULL
        AND ($project IS NULL OR p.project = $project)
), newest AS (
    SELECT a.campaign_no, a.case_no, a.attempt, a.outcome, a.started, a.seconds, a.worker_no,
        a.slot, a.message
    FROM attempts a
    SEMI JOIN (
        SELECT campaign_no
        FROM mine
        WHERE last_case_at >= (SELECT min(first_case_at) FROM mine WHERE newer < $limit)
    ) USING (campaign_no)
    WHERE $since IS NULL OR a.started >= $since
    ORDER BY a.started DESC
    LIMIT $limit
)
SELECT c.campaign, k.case_id, n.attempt, n.outcome, n.started, n.seconds, w.worker,
    w.worker_class, n.slot, n.message
FROM newest n
JOIN campaigns c USING (campaign_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no)
ORDER BY n.started DESC

-- name: find-case
-- The numbers of a case, one a project that has it. Also: $case.
SELECT k.case_no
FROM cases k
JOIN projects p USING (project_no)
WHERE k.case_id = $case AND ($project IS NULL OR p.project = $project)

-- name: case-history
-- Every attempt of one case, newest first. Also: $case_no.
WITH told AS (
    SELECT * FROM history
    WHERE case_no = $case_no AND ($since IS NULL OR started >= $since)
    ORDER BY started DESC
    LIMIT $limit
)
SELECT c.campaign, c.commit_id, t.outcome, t.started, t.seconds, t.cpu_seconds,
    t.peak_memory_bytes, t.gpu_utilisation, t.shared_setup_seconds, w.worker, w.worker_class,
    w.host, t.message
FROM told t
JOIN campaigns c USING (campaign_no)
LEFT JOIN workers w USING (worker_no)
ORDER BY t.started DESC

-- name: case-days
-- One case by day and class of worker, also of attempts that were dropped. Also: $case_no.
SELECT d.day, d.worker_class, sum(d.attempts) AS attempts, sum(d.passed) AS passed,
    sum(d.failed) AS failed, sum(d.skipped) AS skipped, sum(d.infra_lost) AS infra_lost,
    sum(d.seconds) / nullif(sum(d.attempts - d.infra_lost - d.cancelled), 0) AS mean_seconds,
    min(d.min_seconds) AS min_seconds, max(d.max_seconds) AS max_seconds,
    max(d.peak_memory_bytes) AS peak_memory_bytes
FROM all_case_days d
WHERE d.case_no = $case_no AND ($since IS NULL OR d.day >= CAST($since AS DATE))
GROUP BY ALL
ORDER BY d.day DESC, d.worker_class
LIMIT $limit

-- name: workers
SELECT w.worker, w.worker_class, w.host, max(w.slots) AS slots,
    count(DISTINCT w.campaign_no) AS campaigns, sum(f.attempts) AS attempts,
    sum(f.busy_seconds) AS busy_seconds, sum(f.failed) AS failed,
    sum(f.infra_lost) AS infra_lost, max(f.last_at) AS last_seen
FROM worker_figures f
JOIN workers w USING (worker_no)
JOIN campaigns c ON c.campaign_no = f.campaign_no
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR f.last_at >= $since)
GROUP BY ALL
ORDER BY busy_seconds DESC
LIMIT $limit

-- name: duration-series
-- What trends are made of: one row an attempt that passed, by case, class and time.
SELECT k.case_id, coalesce(w.worker_class, '') AS worker_class, a.started, c.campaign,
    c.commit_id, a.seconds - coalesce(a.shared_setup_seconds, 0) AS seconds, a.cpu_seconds,
    a.peak_memory_bytes, w.host
FROM attempts a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no)
WHERE a.outcome IN ('passed', 'xfailed')
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR a.started >= $since)
ORDER BY a.case_no, worker_class, a.started
LIMIT $limit

-- name: metric-series
-- Values that cases recorded themselves, by case, name, class and time.
SELECT k.case_id, m.name, m.unit, m.better,
    coalesce(w.worker_class, o.worker_class, '') AS worker_class,
    m.happened_at, c.campaign, c.commit_id, m.value, m.text, w.host
FROM metrics m
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN attempts a ON a.campaign_no = m.campaign_no AND a.epoch = m.epoch AND a.place = m.place
LEFT JOIN workers w ON w.worker_no = a.worker_no
-- They outlive their attempts: then the class is known where the campaign had no other.
LEFT JOIN (
    SELECT campaign_no, min(worker_class) AS worker_class
    FROM workers
    GROUP BY ALL
    HAVING count(DISTINCT worker_class) = 1
) o ON o.campaign_no = m.campaign_no AND a.campaign_no IS NULL
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR m.happened_at >= $since)
ORDER BY m.case_no, m.name, worker_class, m.happened_at
LIMIT $limit

-- name: outcome-series
-- What flakiness is told from: every result, by case and time.
SELECT k.case_id, c.campaign, c.commit_id, a.outcome, a.started, a.seconds, w.worker,
    w.worker_class, w.host, a.batch, a.message
FROM attempts a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR a.started >= $since)
ORDER BY a.case_no, a.started
LIMIT $limit

-- name: standing
-- What the store holds, for `proctor store status`.
SELECT
    (SELECT count(*) FROM campaigns) AS campaigns,
    (SELECT count(*) FROM campaigns WHERE pruned_at IS NOT NULL) AS pruned,
    (SELECT count(*) FROM attempts) AS attempts,
    (SELECT count(*) FROM cases) AS cases,
    (SELECT count(*) FROM case_days) AS case_days,
    (SELECT count(*) FROM prefect_flow_runs) AS flow_runs,
    (SELECT count(*) FROM problems) AS problems,
    (SELECT coalesce(sum(attempts), 0) FROM clock_jumps) AS clock_jumps,
    (SELECT max(last_line_at) FROM campaigns) AS newest,
    (SELECT max(version) FROM migrations) AS schema_version

-- name: problems
SELECT file, place, kind, text FROM problems ORDER BY file, place LIMIT $limit
