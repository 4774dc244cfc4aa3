-- name: cursor
SELECT epoch(until) FROM prefect_cursors WHERE server = ?

-- name: open-runs
SELECT flow_run_id FROM prefect_flow_runs
WHERE server = ? AND ended_at IS NULL AND state_type <> 'DELETED'

-- name: count-runs
SELECT count(*) FROM prefect_flow_runs WHERE server = ? AND state_type <> 'DELETED'

-- name: all-runs
SELECT flow_run_id FROM prefect_flow_runs WHERE server = ? AND state_type <> 'DELETED'

-- name: runs-without-states
-- Those of campaigns first, then the newest.
SELECT flow_run_id FROM prefect_flow_runs
WHERE server = ? AND NOT has_states AND ended_at IS NOT NULL AND state_type <> 'DELETED'
ORDER BY campaign = '', ended_at DESC
LIMIT ?

-- name: same-runs
-- Which of these runs are known just so, and have nothing new to tell.
SELECT k.flow_run_id
FROM told t
JOIN prefect_flow_runs k USING (server, flow_run_id)
WHERE k.state_type = t.state_type AND k.state_name = t.state_name
    AND k.ended_at IS NOT DISTINCT FROM t.ended_at AND k.run_count = t.run_count
    AND k.ended_at IS NOT NULL AND k.tags = t.tags

-- name: put-flow-runs
DELETE FROM prefect_flow_runs k USING told t
WHERE k.server = t.server AND k.flow_run_id = t.flow_run_id;
INSERT INTO prefect_flow_runs SELECT * FROM told

-- name: put-task-runs
DELETE FROM prefect_task_runs k USING told t WHERE k.task_run_id = t.task_run_id;
INSERT INTO prefect_task_runs SELECT * FROM told

-- name: put-states
INSERT INTO prefect_states
SELECT t.* FROM told t ANTI JOIN prefect_states k USING (state_id)

-- name: mark-states
CREATE OR REPLACE TEMP TABLE marked AS
SELECT k.* REPLACE (true AS has_states)
FROM prefect_flow_runs k
SEMI JOIN told USING (server, flow_run_id);
DELETE FROM prefect_flow_runs k USING told t
WHERE k.server = t.server AND k.flow_run_id = t.flow_run_id;
INSERT INTO prefect_flow_runs SELECT * FROM marked;
DROP TABLE marked

-- name: mark-deleted
-- One that never started leaves nothing behind: schedules make and drop many of those.
CREATE OR REPLACE TEMP TABLE marked AS
SELECT k.* REPLACE ('DELETED' AS state_type)
FROM prefect_flow_runs k
SEMI JOIN told USING (server, flow_run_id)
WHERE k.started_at IS NOT NULL;
DELETE FROM prefect_flow_runs k USING told t
WHERE k.server = t.server AND k.flow_run_id = t.flow_run_id;
INSERT INTO prefect_flow_runs SELECT * FROM marked;
DROP TABLE marked

-- name: put-cursor
DELETE FROM prefect_cursors k USING told t WHERE k.server = t.server;
INSERT INTO prefect_cursors SELECT * FROM told
