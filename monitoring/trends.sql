-- What the analysis of trends reads. Parameters: $project, $since, $case (each may be NULL).

-- name: campaigns
-- The order that all series share. What was refused says nothing of the suite.
SELECT c.campaign_no, c.campaign, coalesce(c.commit_id, '') AS commit_id,
    coalesce(c.branch, '') AS branch, coalesce(c.environment, '{}') AS environment,
    epoch_us(c.opened_at) / 1e6 AS at, c.pruned_at IS NOT NULL AS pruned
FROM campaigns c
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
    AND c.opened_at IS NOT NULL AND (c.state IS DISTINCT FROM 'refused' OR c.attempts > 0)
ORDER BY c.opened_at, c.campaign_no

-- name: projects
SELECT p.project, count(*) AS campaigns, max(c.opened_at) AS newest
FROM campaigns c
JOIN projects p USING (project_no)
WHERE c.state IS DISTINCT FROM 'refused' OR c.attempts > 0
GROUP BY ALL
ORDER BY newest DESC

-- name: durations
-- One row a case, campaign, class and host: the middle of what it took there.
SELECT a.case_no, coalesce(w.worker_class, '') AS worker_class, coalesce(w.host, '') AS host,
    a.campaign_no, count(*) AS runs,
    median(greatest(a.seconds - coalesce(a.shared_setup_seconds, 0), 0)) AS value
FROM history a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no)
WHERE a.outcome IN ('passed', 'xfailed')
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
    AND ($case IS NULL OR k.case_id = $case)
GROUP BY ALL
ORDER BY a.case_no, worker_class, a.campaign_no, host

-- name: hosts
SELECT count(DISTINCT w.host)
FROM workers w
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
WHERE w.host <> '' AND ($project IS NULL OR p.project = $project)
    AND ($since IS NULL OR c.opened_at >= $since)

-- name: memory
SELECT a.case_no, coalesce(w.worker_class, '') AS worker_class, '' AS host, a.campaign_no,
    count(*) AS runs, median(a.peak_memory_bytes) AS value
FROM history a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no)
WHERE a.outcome IN ('passed', 'xfailed') AND a.peak_memory_bytes > 0
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
    AND ($case IS NULL OR k.case_id = $case)
GROUP BY ALL
ORDER BY a.case_no, worker_class, a.campaign_no

-- name: metrics
-- Values that cases recorded themselves. They outlive their attempts: of one that was dropped the
-- class is known where the campaign had no other.
SELECT m.case_no, m.name, coalesce(w.worker_class, o.worker_class, '') AS worker_class,
    coalesce(w.host, o.host, '') AS host, m.campaign_no,
    -- Beside anything measured it is nothing, and squares of it are not told from zero.
    CASE WHEN abs(m.value) > 1e-90 THEN m.value ELSE 0 END AS value, m.unit, m.better
FROM metrics m
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN attempts a ON a.campaign_no = m.campaign_no AND a.epoch = m.epoch AND a.place = m.place
LEFT JOIN workers w ON w.worker_no = a.worker_no
LEFT JOIN (
    SELECT campaign_no, min(worker_class) AS worker_class,
        CASE WHEN count(DISTINCT host) = 1 THEN min(host) END AS host
    FROM workers
    GROUP BY ALL
    HAVING count(DISTINCT worker_class) = 1
) o ON o.campaign_no = m.campaign_no AND a.campaign_no IS NULL
WHERE abs(m.value) < 1e36
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
    AND ($case IS NULL OR k.case_id = $case)
ORDER BY m.case_no, m.name, worker_class, c.opened_at, m.happened_at

-- name: left_out
-- Values that are no finite numbers, or so large that half the bytes do not hold them; other texts are no
-- values at all.
SELECT m.name, m.value IS NOT NULL AS too_large, count(*)
FROM metrics m
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
WHERE (abs(m.value) >= 1e36
        OR m.value IS NULL
        AND lower(trim(m.text)) IN ('nan', 'inf', '-inf', 'infinity', '-infinity'))
    AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
    AND ($case IS NULL OR k.case_id = $case)
GROUP BY ALL
ORDER BY m.name, too_large

-- name: damaged
SELECT count(*), count(DISTINCT c.campaign_no)
FROM problems b
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
WHERE b.kind = 'damaged' AND ($project IS NULL OR p.project = $project)
    AND ($since IS NULL OR c.opened_at >= $since)

-- name: cases
SELECT k.case_no, k.case_id, k.file
FROM cases k
JOIN projects p USING (project_no)
WHERE ($project IS NULL OR p.project = $project) AND ($case IS NULL OR k.case_id = $case)

-- name: outcomes
-- By campaign, of cases that failed at least once and passed at least once.
WITH told AS (
    SELECT a.case_no, a.campaign_no, count(*) AS runs,
        count(*) FILTER (is_failure(a.outcome)) AS failures
    FROM history a
    JOIN campaigns c USING (campaign_no)
    JOIN projects p USING (project_no)
    JOIN cases k USING (case_no)
    WHERE is_result(a.outcome) AND a.outcome <> 'skipped'
        AND ($project IS NULL OR p.project = $project) AND ($since IS NULL OR c.opened_at >= $since)
        AND ($case IS NULL OR k.case_id = $case)
    GROUP BY ALL
)
SELECT t.case_no, t.campaign_no, t.runs, t.failures
FROM told t
SEMI JOIN (
    SELECT case_no FROM told GROUP BY case_no
    HAVING sum(failures) > 0 AND sum(runs) > sum(failures)
) USING (case_no)
JOIN campaigns c USING (campaign_no)
ORDER BY t.case_no, c.opened_at, t.campaign_no

-- name: circumstances
-- Under which each of the newest runs of some cases happened. Also: $numbers. How busy the machine
-- was is told by the passes just before: how much longer than usual they took. Not by the run
-- itself: a failure takes time to report.
WITH ran AS (
    SELECT a.campaign_no, a.case_no, a.outcome, a.started, a.worker_no, a.slot, a.seconds,
        coalesce(w.worker, '') AS worker, coalesce(w.host, '') AS host,
        a.outcome IN ('passed', 'xfailed') AND a.seconds > 0 AS is_pass
    FROM attempts a
    SEMI JOIN (
        SELECT DISTINCT campaign_no FROM attempts WHERE case_no IN (SELECT unnest($numbers))
    ) USING (campaign_no)
    LEFT JOIN workers w USING (worker_no)
), usual AS (
    SELECT case_no, host, median(seconds) AS seconds FROM ran WHERE is_pass GROUP BY ALL
), beside AS (
    SELECT r.*, lag(r.case_no) OVER slot AS before,
        avg(CASE WHEN r.is_pass THEN least(r.seconds / u.seconds, 3) END) OVER near AS stretch
    FROM ran r
    LEFT JOIN usual u USING (case_no, host)
    WINDOW slot AS (PARTITION BY r.campaign_no, r.worker_no, r.slot ORDER BY r.started),
        near AS (
            PARTITION BY r.campaign_no, r.host ORDER BY r.started
            ROWS BETWEEN 4 PRECEDING AND 1 PRECEDING
        )
)
SELECT s.case_no, is_failure(s.outcome), coalesce(c.commit_id, ''),
    coalesce(CAST(s.before AS VARCHAR), ''), s.worker, epoch_us(s.started) / 1e6,
    greatest(coalesce(s.stretch, 1) - 1, 0)
FROM beside s
JOIN campaigns c USING (campaign_no)
WHERE s.case_no IN (SELECT unnest($numbers)) AND is_result(s.outcome) AND s.outcome <> 'skipped'
QUALIFY row_number() OVER (PARTITION BY s.case_no ORDER BY s.started DESC) <= 2000
ORDER BY s.case_no, s.started DESC

-- name: load
-- Work-seconds by class and hour, of all projects: they share the fleet. Parameter: $since.
SELECT w.worker_class, CAST(floor(epoch_us(a.started) / 3.6e9) AS BIGINT) AS hour,
    sum(a.seconds) AS seconds
FROM attempts a
JOIN workers w USING (worker_no)
WHERE a.seconds IS NOT NULL AND w.worker_class <> '' AND a.started >= $since
GROUP BY ALL
ORDER BY w.worker_class, hour
