-- Version 3: what was refused before anything ran has a word of its own, and is no history.
CREATE OR REPLACE TEMP TABLE refusals AS
SELECT * REPLACE ('refused' AS state)
FROM campaigns
WHERE state = 'failed' AND exit_code = 4 AND attempts = 0;
CREATE OR REPLACE TEMP TABLE refusal_closes AS
SELECT c.* REPLACE ('refused' AS state)
FROM closes c
SEMI JOIN refusals USING (campaign_no);
-- Never an update: DuckDB's log has had mistakes in replaying those.
DELETE FROM campaigns c USING refusals r WHERE c.campaign_no = r.campaign_no;
DELETE FROM closes c USING refusals r WHERE c.campaign_no = r.campaign_no;
INSERT INTO campaigns SELECT * FROM refusals;
INSERT INTO closes SELECT * FROM refusal_closes;
DROP TABLE refusals;
DROP TABLE refusal_closes;
COMMENT ON COLUMN campaigns.state IS 'running, interrupted, completed, cancelled, failed, or refused before anything ran; at the last ingest';
