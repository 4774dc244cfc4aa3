-- name: known-journals
SELECT campaign_no, epoch, file, "offset", seen_bytes FROM journals

-- name: known-campaigns
SELECT c.campaign_no, c.campaign, p.project, c.state, c.pruned_at IS NOT NULL
FROM campaigns c
JOIN projects p USING (project_no)

-- name: known-projects
SELECT project, project_no FROM projects

-- name: highest-numbers
SELECT
    (SELECT coalesce(max(case_no), 0) FROM cases),
    (SELECT coalesce(max(worker_no), 0) FROM workers)

-- name: find-cases
SELECT w.case_id, c.case_no
FROM wanted w
JOIN cases c ON c.project_no = w.project_no AND c.case_id = w.case_id

-- name: workers-of
SELECT worker, incarnation, worker_no FROM workers WHERE campaign_no = ?

-- name: add-projects
INSERT INTO projects SELECT * FROM new_projects

-- name: add-cases
INSERT INTO cases SELECT * FROM new_cases

-- name: add-openings
INSERT INTO openings SELECT * FROM new_openings

-- name: add-phases
INSERT INTO phases SELECT * FROM new_phases

-- name: add-plans
INSERT INTO plans SELECT * FROM new_plans

-- name: add-closes
INSERT INTO closes SELECT * FROM new_closes

-- name: add-notes
INSERT INTO notes SELECT * FROM new_notes

-- name: add-batches
INSERT INTO batches SELECT * FROM new_batches

-- name: add-worker-events
INSERT INTO worker_events SELECT * FROM new_worker_events

-- name: add-case-events
INSERT INTO case_events SELECT * FROM new_case_events

-- name: add-problems
INSERT INTO problems SELECT * FROM new_problems

-- name: add-usage-samples
INSERT INTO usage_samples SELECT * FROM new_usage_samples

-- name: add-decisions
INSERT INTO decisions SELECT * FROM new_decisions

-- name: add-grades
INSERT INTO grades SELECT * FROM new_grades

-- name: add-faults
INSERT INTO faults SELECT * FROM new_faults

-- name: add-findings
INSERT INTO findings SELECT * FROM new_findings

-- name: replace-workers
DELETE FROM workers w USING new_workers n WHERE w.worker_no = n.worker_no;
INSERT INTO workers SELECT * FROM new_workers

-- name: add-campaign-cases
INSERT INTO campaign_cases SELECT * FROM new_campaign_cases

-- name: replace-campaign-cases
-- Of a campaign that has some already, or says one twice: three times the work.
DELETE FROM campaign_cases c USING new_campaign_cases n
WHERE c.campaign_no = n.campaign_no AND c.case_no = n.case_no;
INSERT INTO campaign_cases
SELECT * FROM new_campaign_cases
QUALIFY row_number() OVER (
    PARTITION BY campaign_no, case_no ORDER BY epoch DESC, place DESC
) = 1

-- name: repeated-attempts
-- What an earlier ingest took in already: a resumed campaign may hear it again from a worker.
SELECT n.campaign_no, n.epoch, n.place, n.attempt, coalesce(m.before, a.outcome) AS known,
    n.outcome AS told
FROM arrived n
JOIN attempts a ON a.campaign_no = n.campaign_no AND a.attempt = n.attempt
LEFT JOIN (
    SELECT campaign_no, attempt, min(before) AS before FROM amendments GROUP BY ALL
) m ON m.campaign_no = n.campaign_no AND m.attempt = n.attempt

-- name: add-attempts
INSERT INTO attempts SELECT * FROM new_attempts

-- name: add-metrics
INSERT INTO metrics SELECT * FROM new_metrics

-- name: add-attempt-notes
INSERT INTO attempt_notes SELECT * FROM new_attempt_notes

-- name: resolve-amendments
-- The attempt that each amends: the one it names, or else the last result of its case until then.
CREATE OR REPLACE TEMP TABLE resolved AS
SELECT n.campaign_no, n.case_no, n.epoch, n.place, n.happened_at, n.outcome, n.message, n.output_epoch,
    n.output_offset, n.output_length,
    arg_max(a.attempt, turn(a.epoch, a.place)) AS attempt,
    arg_max(a.outcome, turn(a.epoch, a.place)) AS outcome_now
FROM new_amendments n
LEFT JOIN attempts a
    ON a.campaign_no = n.campaign_no AND a.case_no = n.case_no
    AND turn(a.epoch, a.place) < turn(n.epoch, n.place)
    AND CASE WHEN n.attempt = '' THEN is_result(a.outcome) ELSE a.attempt = n.attempt END
GROUP BY ALL

-- name: orphaned-amendments
SELECT campaign_no, epoch, place FROM resolved WHERE attempt IS NULL

-- name: apply-amendments
INSERT INTO amendments
SELECT r.campaign_no, r.case_no, r.epoch, r.place, r.happened_at, r.attempt,
    coalesce(m.before, r.outcome_now), r.outcome, r.message, r.output_epoch, r.output_offset,
    r.output_length
FROM resolved r
LEFT JOIN (
    SELECT campaign_no, attempt, min(before) AS before FROM amendments GROUP BY ALL
) m ON m.campaign_no = r.campaign_no AND m.attempt = r.attempt
ANTI JOIN amendments k
    ON k.campaign_no = r.campaign_no AND k.attempt = r.attempt AND k.outcome = r.outcome
    AND k.message = r.message
WHERE r.attempt IS NOT NULL
QUALIFY row_number() OVER (
    PARTITION BY r.campaign_no, r.attempt, r.outcome, r.message ORDER BY turn(r.epoch, r.place)
) = 1;
-- A failed call says more than the failed teardown after it: the first failure stands.
CREATE OR REPLACE TEMP TABLE amended AS
WITH said AS (
    SELECT campaign_no, attempt, min(before) AS before,
        coalesce(
            arg_min(outcome, turn(epoch, place)) FILTER (is_failure(outcome)),
            arg_max(outcome, turn(epoch, place))
        ) AS outcome,
        coalesce(
            arg_min(message, turn(epoch, place)) FILTER (is_failure(outcome)),
            arg_max(message, turn(epoch, place))
        ) AS message
    FROM amendments
    SEMI JOIN resolved USING (campaign_no, attempt)
    GROUP BY ALL
)
SELECT a.* REPLACE (s.outcome AS outcome, s.message AS message)
FROM attempts a
JOIN said s USING (campaign_no, attempt)
WHERE NOT is_failure(s.before);
-- Never an update: DuckDB's log has had mistakes in replaying those.
DELETE FROM attempts a USING amended m
WHERE a.campaign_no = m.campaign_no AND a.attempt = m.attempt;
INSERT INTO attempts SELECT * FROM amended

-- name: judge
-- As infra/judge.py does it for one case; tests hold the two together.
CREATE OR REPLACE TEMP TABLE touched AS
SELECT campaign_no, case_no FROM new_attempts
UNION SELECT campaign_no, case_no FROM new_campaign_cases
UNION SELECT campaign_no, case_no FROM new_case_events
UNION SELECT campaign_no, case_no FROM new_amendments;
DELETE FROM verdicts v USING touched t
WHERE v.campaign_no = t.campaign_no AND v.case_no = t.case_no;
INSERT INTO verdicts
WITH told AS (
    SELECT campaign_no, case_no,
        bool_or(event = 'muted') AS muted,
        max(turn(epoch, place)) FILTER (event = 'vanished') AS vanished,
        max(turn(epoch, place)) FILTER (event = 'unmet') AS unmet,
        arg_max(reason, turn(epoch, place)) FILTER (event = 'unmet') AS unmet_message
    FROM case_events
    SEMI JOIN touched USING (campaign_no, case_no)
    GROUP BY ALL
), executed AS (
    SELECT campaign_no, case_no, count(*) FILTER (outcome <> 'cancelled') AS executions,
        count(*) FILTER (is_failure(outcome)) AS failures,
        arg_max(outcome, turn(epoch, place)) FILTER (is_result(outcome)) AS outcome,
        arg_max(attempt, turn(epoch, place)) FILTER (is_result(outcome)) AS attempt,
        arg_max(message, turn(epoch, place)) FILTER (is_result(outcome)) AS message,
        arg_max(seconds, turn(epoch, place)) FILTER (is_result(outcome)) AS seconds,
        arg_max(finished, turn(epoch, place)) FILTER (is_result(outcome)) AS decided_at,
        arg_max(outcome, turn(epoch, place)) FILTER (is_failure(outcome)) AS failure,
        arg_max(message, turn(epoch, place)) FILTER (is_failure(outcome)) AS failure_message,
        arg_max(message, turn(epoch, place)) FILTER (outcome = 'infra-lost') AS loss_message,
        arg_max(message, turn(epoch, place)) FILTER (outcome = 'cancelled') AS cancel_message,
        max(turn(epoch, place)) FILTER (outcome = 'cancelled') AS cancelled
    FROM attempts
    SEMI JOIN touched USING (campaign_no, case_no)
    GROUP BY ALL
)
SELECT c.campaign_no, c.case_no,
    CAST(CASE
        WHEN e.executions IS NULL OR e.executions = 0 THEN 'not-run'
        WHEN e.outcome IS NULL THEN 'infra-lost'
        WHEN e.failures > 0 AND t.muted THEN 'muted'
        WHEN e.failures > 0 AND NOT is_failure(e.outcome) THEN 'flaky'
        ELSE CAST(e.outcome AS VARCHAR)
    END AS judgement),
    coalesce(e.executions, 0),
    coalesce(e.attempt, ''),
    CASE
        WHEN e.outcome IS NULL THEN coalesce(e.loss_message,
            CASE WHEN t.unmet > coalesce(e.cancelled, 0) THEN t.unmet_message END,
            e.cancel_message, '')
        WHEN e.failures > 0 AND NOT is_failure(e.outcome) THEN
            'passed after it had ' || CASE e.failure
                WHEN 'failed' THEN 'failed'
                WHEN 'error' THEN 'ended in an error'
                WHEN 'crashed' THEN 'crashed'
                WHEN 'timed-out' THEN 'timed out'
                ELSE 'run out of memory'
            END || CASE WHEN e.failure_message = '' THEN '' ELSE ': ' || e.failure_message END
        ELSE e.message
    END,
    coalesce(e.seconds, 0),
    e.decided_at
FROM campaign_cases c
SEMI JOIN touched USING (campaign_no, case_no)
LEFT JOIN executed e ON e.campaign_no = c.campaign_no AND e.case_no = c.case_no
LEFT JOIN told t ON t.campaign_no = c.campaign_no AND t.case_no = c.case_no
-- One that ran is there, whatever a later look at its file said.
WHERE t.vanished IS NULL OR e.executions IS NOT NULL OR t.vanished < turn(c.epoch, c.place)

-- name: refresh-campaigns
DELETE FROM campaigns c USING refreshed r WHERE c.campaign_no = r.campaign_no;
INSERT INTO campaigns
WITH opened AS (
    SELECT campaign_no, max(epoch) AS epochs, min(happened_at) AS opened_at, max(turn(epoch, place)) AS turn,
        arg_max(name, epoch) AS name, arg_max(root, epoch) AS root,
        arg_max(command, epoch) AS command, arg_max(host, epoch) AS host,
        arg_max(commit_id, epoch) AS commit_id, arg_max(environment, epoch) AS environment,
        arg_max(branch, epoch) AS branch
    FROM openings
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
), phased AS (
    SELECT campaign_no, min(happened_at) FILTER (phase = 'run') AS running_at
    FROM phases
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
), planned AS (
    SELECT campaign_no, arg_max(slots, turn(epoch, place)) AS slots,
        arg_max(predicted_makespan_seconds, turn(epoch, place)) AS predicted_makespan_seconds,
        arg_max(lower_bound_seconds, turn(epoch, place)) AS lower_bound_seconds,
        arg_max(known_cases, turn(epoch, place)) AS known_cases,
        arg_max(unknown_cases, turn(epoch, place)) AS unknown_cases
    FROM plans
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
), closed AS (
    SELECT c.campaign_no, max(c.happened_at) AS closed_at,
        arg_max(c.state, turn(c.epoch, c.place)) AS state,
        arg_max(c.exit_code, turn(c.epoch, c.place)) AS exit_code,
        arg_max(c.makespan_seconds, turn(c.epoch, c.place)) AS makespan_seconds,
        arg_max(c.lower_bound_seconds, turn(c.epoch, c.place)) AS lower_bound_seconds,
        arg_max(c.slots, turn(c.epoch, c.place)) AS slots
    FROM closes c
    SEMI JOIN refreshed USING (campaign_no)
    -- A writer that came later took the last word back.
    LEFT JOIN opened o USING (campaign_no)
    WHERE turn(c.epoch, c.place) > coalesce(o.turn, 0)
    GROUP BY ALL
), judged AS (
    SELECT campaign_no, count(*) AS cases,
        count(*) FILTER (judgement IN ('passed', 'xfailed', 'xpassed')) AS passed,
        count(*) FILTER (is_blamed(judgement)) AS failed,
        count(*) FILTER (judgement = 'skipped') AS skipped,
        count(*) FILTER (judgement = 'flaky') AS flaky,
        count(*) FILTER (judgement = 'muted') AS muted,
        count(*) FILTER (judgement = 'infra-lost') AS infra_lost,
        count(*) FILTER (judgement = 'not-run') AS not_run
    FROM verdicts
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
), executed AS (
    SELECT campaign_no, count(*) AS attempts,
        min(started) FILTER (worker_no IS NOT NULL) AS first_case_at,
        max(finished) FILTER (worker_no IS NOT NULL) AS last_case_at,
        sum(micros(seconds)) FILTER (worker_no IS NOT NULL) / 1e6 AS busy_seconds,
        sum(micros(cpu_seconds)) / 1e6 AS cpu_seconds
    FROM attempts
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
), pauses AS (
    SELECT campaign_no, seconds_between(
        lag(finished) OVER (PARTITION BY campaign_no, worker_no, slot ORDER BY started), started
    ) AS seconds
    FROM attempts
    SEMI JOIN refreshed USING (campaign_no)
    WHERE worker_no IS NOT NULL
), paused AS (
    SELECT campaign_no, count(*) AS gaps, sum(micros(seconds)) / 1e6 AS gap_seconds,
        quantile_cont(seconds, 0.5) AS gap_median_seconds,
        quantile_cont(seconds, 0.95) AS gap_p95_seconds
    FROM pauses
    -- Less than nothing: attempts beside each other, or a clock that jumped.
    WHERE seconds >= 0
    GROUP BY ALL
), spoken AS (
    SELECT campaign_no, max(happened_at) AS last_line_at
    FROM (
        SELECT campaign_no, happened_at FROM openings
        UNION ALL SELECT campaign_no, happened_at FROM phases
        UNION ALL SELECT campaign_no, happened_at FROM closes
        UNION ALL SELECT campaign_no, happened_at FROM batches
        UNION ALL SELECT campaign_no, finished FROM attempts
    )
    SEMI JOIN refreshed USING (campaign_no)
    GROUP BY ALL
)
SELECT r.campaign_no, r.campaign, r.project_no, o.name, o.root, o.command, o.host, o.commit_id,
    o.environment, coalesce(c.state, r.state), c.exit_code, coalesce(o.epochs, 0), o.opened_at, h.running_at,
    e.first_case_at, e.last_case_at, c.closed_at, s.last_line_at, coalesce(c.slots, p.slots),
    p.predicted_makespan_seconds, coalesce(c.lower_bound_seconds, p.lower_bound_seconds),
    coalesce(c.makespan_seconds, seconds_between(e.first_case_at, e.last_case_at)),
    p.known_cases, p.unknown_cases,
    coalesce(j.cases, 0), coalesce(e.attempts, 0), coalesce(j.passed, 0), coalesce(j.failed, 0),
    coalesce(j.skipped, 0), coalesce(j.flaky, 0), coalesce(j.muted, 0), coalesce(j.infra_lost, 0),
    coalesce(j.not_run, 0), e.busy_seconds, e.cpu_seconds, coalesce(g.gaps, 0), g.gap_seconds,
    g.gap_median_seconds, g.gap_p95_seconds, seconds_between(o.opened_at, e.first_case_at), NULL,
    o.branch
FROM refreshed r
LEFT JOIN opened o USING (campaign_no)
LEFT JOIN phased h USING (campaign_no)
LEFT JOIN planned p USING (campaign_no)
LEFT JOIN closed c USING (campaign_no)
LEFT JOIN judged j USING (campaign_no)
LEFT JOIN executed e USING (campaign_no)
LEFT JOIN paused g USING (campaign_no)
LEFT JOIN spoken s USING (campaign_no)

-- name: refresh-workers
DELETE FROM worker_figures f USING refreshed r WHERE f.campaign_no = r.campaign_no;
INSERT INTO worker_figures
SELECT a.campaign_no, a.worker_no, count(*), count(*) FILTER (is_failure(a.outcome)),
    count(*) FILTER (a.outcome = 'infra-lost'), sum(micros(a.seconds)) / 1e6,
    sum(micros(a.cpu_seconds)) / 1e6,
    sum(TRY_CAST(round(a.seconds * a.peak_memory_bytes) AS BIGINT)),
    sum(micros(a.seconds * a.gpu_utilisation)) / 1e6, min(a.started), max(a.finished),
    sum(micros(a.seconds * k.needs_cpu)) / 1e6, sum(k.needs_memory_bytes),
    sum(a.peak_memory_bytes) FILTER (k.needs_memory_bytes > 0),
    count(*) FILTER (k.needs_memory_bytes > 0 AND a.peak_memory_bytes > k.needs_memory_bytes),
    count(*) FILTER (k.needs_gpu > 0 AND a.gpu_memory_bytes = 0),
    count(*) FILTER (coalesce(k.needs_gpu, 0) = 0 AND w.gpu > 0)
FROM attempts a
SEMI JOIN refreshed USING (campaign_no)
JOIN workers w USING (worker_no)
LEFT JOIN campaign_cases k ON k.campaign_no = a.campaign_no AND k.case_no = a.case_no
GROUP BY ALL

-- name: unsort
-- There is news of campaigns that were sorted already.
DELETE FROM case_history WHERE campaign_no IN (
    SELECT campaign_no FROM sorted_campaigns SEMI JOIN refreshed USING (campaign_no)
);
DELETE FROM sorted_campaigns WHERE campaign_no IN (SELECT campaign_no FROM refreshed)

-- name: unsorted-attempts
SELECT coalesce(sum(attempts), 0)
FROM campaigns
ANTI JOIN sorted_campaigns USING (campaign_no)
WHERE pruned_at IS NULL AND state NOT IN ('running', 'interrupted')

-- name: sort-history
CREATE OR REPLACE TEMP TABLE sorting AS
SELECT campaign_no
FROM campaigns
ANTI JOIN sorted_campaigns USING (campaign_no)
WHERE pruned_at IS NULL AND state NOT IN ('running', 'interrupted');
INSERT INTO case_history
SELECT case_no, campaign_no, outcome, started, seconds, cpu_seconds, peak_memory_bytes,
    gpu_utilisation, shared_setup_seconds, worker_no, message
FROM attempts
SEMI JOIN sorting USING (campaign_no)
ORDER BY case_no, started;
INSERT INTO sorted_campaigns SELECT campaign_no FROM sorting;
DROP TABLE sorting

-- name: forget-files
DELETE FROM journals WHERE file IN (SELECT file FROM forgotten);
DELETE FROM problems WHERE file IN (SELECT file FROM forgotten);
DELETE FROM usage_samples WHERE file IN (SELECT file FROM forgotten);
DELETE FROM decisions WHERE file IN (SELECT file FROM forgotten);
DELETE FROM grades WHERE file IN (SELECT file FROM forgotten);
DELETE FROM faults WHERE file IN (SELECT file FROM forgotten);
DELETE FROM findings WHERE file IN (SELECT file FROM forgotten)

-- name: replace-journals
DELETE FROM journals j USING new_journals n WHERE j.file = n.file;
INSERT INTO journals SELECT * FROM new_journals

-- name: forget-campaigns
-- Bytes were taken in that turned out not to count: the whole campaign is read again.
DELETE FROM journals WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM problems WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM openings WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM phases WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM plans WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM closes WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM notes WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM batches WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM campaign_cases WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM case_events WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM attempts WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM amendments WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM attempt_notes WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM metrics WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM verdicts WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM workers WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM worker_figures WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM case_history WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM sorted_campaigns WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM worker_events WHERE campaign_no IN (SELECT campaign_no FROM forgotten);
DELETE FROM campaigns WHERE campaign_no IN (SELECT campaign_no FROM forgotten)
