-- name: old-campaigns
-- Ended before the moment and not dropped yet, oldest first.
SELECT campaign_no, campaign
FROM campaigns
WHERE pruned_at IS NULL AND state NOT IN ('running', 'interrupted') AND last_line_at < ?
ORDER BY last_line_at

-- name: roll-up
CREATE OR REPLACE TEMP TABLE rolled AS
SELECT c.project_no, a.case_no, CAST(a.started AS DATE) AS day,
    coalesce(w.worker_class, '') AS worker_class, count(*) AS attempts,
    count(*) FILTER (is_good(a.outcome) AND a.outcome <> 'skipped') AS passed,
    count(*) FILTER (is_failure(a.outcome)) AS failed,
    count(*) FILTER (a.outcome = 'skipped') AS skipped,
    count(*) FILTER (a.outcome = 'infra-lost') AS infra_lost,
    count(*) FILTER (a.outcome = 'cancelled') AS cancelled,
    count(*) FILTER (v.judgement = 'flaky' AND v.decided_by = a.attempt) AS flaky,
    sum(micros(a.seconds)) FILTER (is_result(a.outcome)) / 1e6 AS seconds,
    min(a.seconds) FILTER (is_result(a.outcome)) AS min_seconds,
    median(a.seconds) FILTER (is_result(a.outcome)) AS median_seconds,
    max(a.seconds) FILTER (is_result(a.outcome)) AS max_seconds,
    sum(micros(a.cpu_seconds)) FILTER (is_result(a.outcome)) / 1e6 AS cpu_seconds,
    max(a.peak_memory_bytes) AS peak_memory_bytes
FROM attempts a
SEMI JOIN dropped USING (campaign_no)
JOIN campaigns c USING (campaign_no)
LEFT JOIN workers w USING (worker_no)
LEFT JOIN verdicts v ON v.campaign_no = a.campaign_no AND v.case_no = a.case_no
GROUP BY ALL;
-- Campaigns of one day that were dropped at other times are one row all the same.
INSERT INTO rolled SELECT d.* FROM case_days d SEMI JOIN rolled USING (project_no, case_no, day, worker_class);
DELETE FROM case_days d USING rolled r
WHERE d.project_no = r.project_no AND d.case_no = r.case_no AND d.day = r.day
    AND d.worker_class = r.worker_class;
INSERT INTO case_days
SELECT project_no, case_no, day, worker_class, sum(attempts), sum(passed), sum(failed),
    sum(skipped), sum(infra_lost), sum(cancelled), sum(flaky), sum(micros(seconds)) / 1e6, min(min_seconds),
    sum(micros(median_seconds * attempts)) / 1e6 / sum(attempts) FILTER (median_seconds IS NOT NULL),
    max(max_seconds), sum(micros(cpu_seconds)) / 1e6, max(peak_memory_bytes)
FROM rolled
GROUP BY ALL;
DROP TABLE rolled

-- name: drop-attempts
-- What a campaign said of itself, its workers and the metrics it measured stay.
DELETE FROM attempts WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM case_history WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM sorted_campaigns WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM amendments WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM attempt_notes WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM batches WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM campaign_cases WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM case_events WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM verdicts WHERE campaign_no IN (SELECT campaign_no FROM dropped);
DELETE FROM worker_events WHERE campaign_no IN (SELECT campaign_no FROM dropped);
CREATE OR REPLACE TEMP TABLE marked AS
SELECT c.* REPLACE (d.pruned_at AS pruned_at)
FROM campaigns c
JOIN dropped d USING (campaign_no);
DELETE FROM campaigns WHERE campaign_no IN (SELECT campaign_no FROM dropped);
INSERT INTO campaigns SELECT * FROM marked;
DROP TABLE marked

-- name: drop-samples
DELETE FROM usage_samples WHERE happened_at < ?
