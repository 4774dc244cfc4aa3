-- Version 5: that no worker could run a case is an event of the case, and no attempt.
CREATE OR REPLACE TEMP TABLE never_ran AS
FROM attempts
WHERE batch = 'unmet' AND outcome = 'cancelled' AND worker_no IS NULL;
CREATE OR REPLACE TEMP TABLE recounted AS
SELECT c.* REPLACE (c.attempts - n.times AS attempts)
FROM campaigns c
JOIN (SELECT campaign_no, count(*) AS times FROM never_ran GROUP BY ALL) n USING (campaign_no)
-- Of a pruned one the figures stay as they were.
WHERE c.pruned_at IS NULL;
INSERT INTO case_events
SELECT campaign_no, case_no, epoch, place, 'unmet', message FROM never_ran;
-- Never an update: DuckDB's log has had mistakes in replaying those.
DELETE FROM case_history h USING never_ran n
WHERE h.campaign_no = n.campaign_no AND h.case_no = n.case_no AND h.outcome = 'cancelled'
    AND h.worker_no IS NULL AND h.started = n.started;
DELETE FROM attempts a USING never_ran n
WHERE a.campaign_no = n.campaign_no AND a.attempt = n.attempt;
DELETE FROM campaigns c USING recounted r WHERE c.campaign_no = r.campaign_no;
INSERT INTO campaigns SELECT * FROM recounted;
DROP TABLE never_ran;
DROP TABLE recounted;
COMMENT ON TABLE case_events IS 'What a campaign said of a case besides its attempts: vanished, muted, or unmet: no worker could run it';
