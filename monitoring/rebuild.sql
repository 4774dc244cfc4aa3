-- Carries over to a fresh file what the journals can no longer tell; `kept` holds the numbers of
-- campaigns that were dropped or have no journal any more, `kept_files` journals that are gone.

-- name: old-campaigns
SELECT campaign_no, campaign, pruned_at IS NOT NULL FROM old.campaigns

-- name: old-recorders
SELECT DISTINCT file FROM old.journals WHERE campaign_no IS NULL

-- name: carry-campaigns
INSERT INTO campaigns BY NAME SELECT * FROM old.campaigns SEMI JOIN kept USING (campaign_no);
INSERT INTO openings BY NAME SELECT * FROM old.openings SEMI JOIN kept USING (campaign_no);
INSERT INTO phases BY NAME SELECT * FROM old.phases SEMI JOIN kept USING (campaign_no);
INSERT INTO plans BY NAME SELECT * FROM old.plans SEMI JOIN kept USING (campaign_no);
INSERT INTO closes BY NAME SELECT * FROM old.closes SEMI JOIN kept USING (campaign_no);
INSERT INTO notes BY NAME SELECT * FROM old.notes SEMI JOIN kept USING (campaign_no);
INSERT INTO batches BY NAME SELECT * FROM old.batches SEMI JOIN kept USING (campaign_no);
INSERT INTO campaign_cases BY NAME
SELECT * FROM old.campaign_cases SEMI JOIN kept USING (campaign_no);
INSERT INTO case_events BY NAME SELECT * FROM old.case_events SEMI JOIN kept USING (campaign_no);
INSERT INTO attempts BY NAME SELECT * FROM old.attempts SEMI JOIN kept USING (campaign_no);
INSERT INTO amendments BY NAME SELECT * FROM old.amendments SEMI JOIN kept USING (campaign_no);
INSERT INTO attempt_notes BY NAME
SELECT * FROM old.attempt_notes SEMI JOIN kept USING (campaign_no);
INSERT INTO metrics BY NAME SELECT * FROM old.metrics SEMI JOIN kept USING (campaign_no);
INSERT INTO verdicts BY NAME SELECT * FROM old.verdicts SEMI JOIN kept USING (campaign_no);
INSERT INTO workers BY NAME SELECT * FROM old.workers SEMI JOIN kept USING (campaign_no);
INSERT INTO worker_figures BY NAME
SELECT * FROM old.worker_figures SEMI JOIN kept USING (campaign_no);
INSERT INTO worker_events BY NAME
SELECT * FROM old.worker_events SEMI JOIN kept USING (campaign_no);
INSERT INTO problems BY NAME SELECT * FROM old.problems SEMI JOIN kept USING (campaign_no);
INSERT INTO journals BY NAME SELECT * FROM old.journals SEMI JOIN kept USING (campaign_no)

-- name: carry-rest
INSERT INTO case_days BY NAME SELECT * FROM old.case_days;
INSERT INTO journals BY NAME SELECT * FROM old.journals SEMI JOIN kept_files USING (file);
INSERT INTO problems BY NAME SELECT * FROM old.problems SEMI JOIN kept_files USING (file);
INSERT INTO usage_samples BY NAME SELECT * FROM old.usage_samples SEMI JOIN kept_files USING (file);
INSERT INTO decisions BY NAME SELECT * FROM old.decisions SEMI JOIN kept_files USING (file);
INSERT INTO grades BY NAME SELECT * FROM old.grades SEMI JOIN kept_files USING (file);
INSERT INTO faults BY NAME SELECT * FROM old.faults SEMI JOIN kept_files USING (file);
INSERT INTO findings BY NAME SELECT * FROM old.findings SEMI JOIN kept_files USING (file);
INSERT INTO prefect_flow_runs BY NAME SELECT * FROM old.prefect_flow_runs;
INSERT INTO prefect_task_runs BY NAME SELECT * FROM old.prefect_task_runs;
INSERT INTO prefect_states BY NAME SELECT * FROM old.prefect_states;
INSERT INTO prefect_cursors BY NAME SELECT * FROM old.prefect_cursors

-- name: carry-flow-runs
INSERT INTO prefect_flow_runs BY NAME
SELECT * FROM old.prefect_flow_runs WHERE campaign IN (SELECT campaign FROM campaigns);
INSERT INTO prefect_task_runs BY NAME
SELECT * FROM old.prefect_task_runs SEMI JOIN prefect_flow_runs USING (flow_run_id);
INSERT INTO prefect_states BY NAME
SELECT * FROM old.prefect_states SEMI JOIN prefect_flow_runs USING (flow_run_id)

-- name: carry-names
INSERT INTO projects BY NAME
SELECT * FROM old.projects
WHERE project_no IN (
    SELECT project_no FROM campaigns UNION SELECT project_no FROM case_days
);
INSERT INTO cases BY NAME
SELECT * FROM old.cases
WHERE case_no IN (
    SELECT case_no FROM attempts UNION SELECT case_no FROM campaign_cases
    UNION SELECT case_no FROM case_days UNION SELECT case_no FROM metrics
    UNION SELECT case_no FROM case_events UNION SELECT case_no FROM amendments
)
