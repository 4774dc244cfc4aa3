-- What people and dashboards ask: the same facts with names instead of numbers.

CREATE OR REPLACE VIEW results AS
SELECT p.project, c.campaign, c.commit_id, k.case_id, k.file, k.function, a.attempt, a.outcome,
    a.started, a.finished, a.seconds, a.cpu_seconds, a.peak_memory_bytes, a.read_bytes,
    a.write_bytes, a.gpu_utilisation, a.gpu_memory_bytes, a.setup_seconds, a.call_seconds,
    a.teardown_seconds, a.shared_setup_seconds, w.worker, w.worker_class, w.host, a.slot, a.batch,
    a.message, a.epoch, a.place
FROM attempts a
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no)
LEFT JOIN workers w USING (worker_no);
COMMENT ON VIEW results IS 'Every attempt, with the names of its case, campaign, project and worker';

CREATE OR REPLACE VIEW case_results AS
SELECT p.project, c.campaign, c.commit_id, c.opened_at, k.case_id, k.file, v.judgement,
    v.attempts, v.decided_by, v.message, v.seconds, v.decided_at
FROM verdicts v
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no)
JOIN cases k USING (case_no);
COMMENT ON VIEW case_results IS 'The verdict on each case of each campaign, with names';

CREATE OR REPLACE VIEW history AS
SELECT case_no, campaign_no, outcome, started, seconds, cpu_seconds, peak_memory_bytes,
    gpu_utilisation, shared_setup_seconds, worker_no, message
FROM case_history
UNION ALL
SELECT a.case_no, a.campaign_no, a.outcome, a.started, a.seconds, a.cpu_seconds,
    a.peak_memory_bytes, a.gpu_utilisation, a.shared_setup_seconds, a.worker_no, a.message
FROM attempts a
SEMI JOIN (SELECT campaign_no FROM campaigns ANTI JOIN sorted_campaigns USING (campaign_no)) u
    USING (campaign_no);
COMMENT ON VIEW history IS 'Every attempt, fast to ask for by case_no';

CREATE OR REPLACE VIEW all_case_days AS
SELECT project_no, case_no, day, worker_class, attempts, passed, failed, skipped, infra_lost,
    cancelled, seconds, cpu_seconds, peak_memory_bytes, min_seconds, max_seconds
FROM case_days
UNION ALL
SELECT c.project_no, a.case_no, CAST(a.started AS DATE), coalesce(w.worker_class, ''), count(*),
    count(*) FILTER (is_good(a.outcome) AND a.outcome <> 'skipped'),
    count(*) FILTER (is_failure(a.outcome)),
    count(*) FILTER (a.outcome = 'skipped'),
    count(*) FILTER (a.outcome = 'infra-lost'),
    count(*) FILTER (a.outcome = 'cancelled'),
    sum(a.seconds) FILTER (is_result(a.outcome)),
    sum(a.cpu_seconds) FILTER (is_result(a.outcome)),
    max(a.peak_memory_bytes),
    min(a.seconds) FILTER (is_result(a.outcome)),
    max(a.seconds) FILTER (is_result(a.outcome))
FROM history a
JOIN campaigns c USING (campaign_no)
LEFT JOIN workers w USING (worker_no)
GROUP BY ALL;
COMMENT ON VIEW all_case_days IS 'Attempts by case, day and class of worker: those that are here, and what is left of those dropped';

CREATE OR REPLACE VIEW success_rates AS
SELECT p.project, CAST(c.opened_at AS DATE) AS day, count(*) AS campaigns,
    count(*) FILTER (c.exit_code = 0) AS green_campaigns,
    sum(c.cases) AS cases, sum(c.passed) AS passed, sum(c.failed) AS failed,
    sum(c.flaky) AS flaky, sum(c.muted) AS muted, sum(c.infra_lost) AS infra_lost,
    -- What passed beside a file that could not be collected says nothing of the suite.
    sum(c.passed + c.flaky) FILTER (c.state <> 'failed')
        / nullif(sum(c.passed + c.flaky + c.muted + c.failed) FILTER (c.state <> 'failed'), 0)
        AS success_rate,
    count(*) FILTER (c.state = 'failed') AS failed_campaigns
FROM campaigns c
JOIN projects p USING (project_no)
WHERE c.state <> 'refused'
GROUP BY ALL;
COMMENT ON VIEW success_rates IS 'By project and day: how many campaigns were green or failed as a whole, and which share of cases passed in the others; without those that were refused';

CREATE OR REPLACE VIEW completion_times AS
SELECT p.project, c.campaign, c.opened_at, c.state, c.cases, c.slots, c.makespan_seconds,
    c.predicted_makespan_seconds, c.lower_bound_seconds,
    c.makespan_seconds / nullif(c.lower_bound_seconds, 0) AS makespan_ratio,
    seconds_between(c.opened_at, c.closed_at) AS whole_seconds
FROM campaigns c
JOIN projects p USING (project_no)
WHERE c.state <> 'refused';
COMMENT ON VIEW completion_times IS 'How long each campaign took, beside what was predicted and what was possible';

CREATE OR REPLACE VIEW utilisation AS
WITH used AS (
    SELECT f.campaign_no, w.worker_class, sum(f.busy_seconds) AS busy_seconds,
        sum(f.cpu_seconds) AS cpu_seconds, sum(f.memory_byte_seconds) AS memory_byte_seconds,
        sum(f.gpu_seconds) AS gpu_seconds,
        seconds_between(min(f.first_at), max(f.last_at)) AS span_seconds
    FROM worker_figures f
    JOIN workers w USING (worker_no)
    GROUP BY ALL
), had AS (
    -- One that came back is the same place to work in.
    SELECT campaign_no, worker_class, sum(slots) AS slots, sum(cpu) AS cpu,
        sum(memory_bytes) AS memory_bytes, sum(gpu) AS gpu, bool_or(simulated_gpu) AS simulated_gpu
    FROM (
        SELECT campaign_no, worker, worker_class, max(slots) AS slots, max(cpu) AS cpu,
            max(memory_bytes) AS memory_bytes, max(gpu) AS gpu,
            bool_or(simulated_gpu) AS simulated_gpu
        FROM workers
        GROUP BY ALL
    )
    GROUP BY ALL
)
SELECT p.project, c.campaign, c.opened_at, u.worker_class, h.slots, h.cpu, h.memory_bytes, h.gpu,
    h.simulated_gpu, u.span_seconds, u.busy_seconds,
    u.busy_seconds / nullif(h.slots * u.span_seconds, 0) AS slot_utilisation,
    u.cpu_seconds / nullif(h.cpu * u.span_seconds, 0) AS cpu_utilisation,
    u.memory_byte_seconds / nullif(h.memory_bytes * u.span_seconds, 0) AS memory_utilisation,
    u.gpu_seconds / nullif(h.gpu * u.span_seconds, 0) AS gpu_utilisation
FROM used u
JOIN had h USING (campaign_no, worker_class)
JOIN campaigns c USING (campaign_no)
JOIN projects p USING (project_no);
COMMENT ON VIEW utilisation IS 'By campaign and class of worker: which share of its slots, cores, memory and GPUs was used from its first case to its last';

CREATE OR REPLACE VIEW allocation_efficiency AS
SELECT p.project, c.campaign, c.opened_at, w.worker_class, sum(f.attempts) AS attempts,
    sum(f.cpu_seconds) / nullif(sum(f.asked_cpu_seconds), 0) AS cpu_efficiency,
    sum(f.asked_memory_used_bytes) / nullif(sum(f.asked_memory_bytes), 0) AS memory_efficiency,
    sum(f.memory_exceeded) AS memory_exceeded, sum(f.gpu_untouched) AS gpu_untouched,
    sum(f.gpu_not_asked) AS gpu_not_asked
FROM worker_figures f
JOIN workers w USING (worker_no)
JOIN campaigns c ON c.campaign_no = f.campaign_no
JOIN projects p USING (project_no)
GROUP BY ALL;
COMMENT ON VIEW allocation_efficiency IS 'By campaign and class of worker: what cases used of what they had asked for';

CREATE OR REPLACE VIEW overhead AS
SELECT p.project, c.campaign, c.opened_at, c.first_case_seconds,
    seconds_between(c.opened_at, c.running_at) AS collect_and_plan_seconds,
    c.gaps, c.gap_seconds, c.gap_median_seconds, c.gap_p95_seconds, c.busy_seconds,
    c.gap_seconds / nullif(c.gap_seconds + c.busy_seconds, 0) AS gap_share,
    seconds_between(c.last_case_at, c.closed_at) AS closing_seconds
FROM campaigns c
JOIN projects p USING (project_no)
WHERE c.state <> 'refused';
COMMENT ON VIEW overhead IS 'What Proctor itself cost a campaign: from submission to the first case, between attempts on a slot, and after the last';

CREATE OR REPLACE VIEW scaling AS
SELECT d.happened_at, d.decision, d.worker_class, d.from_workers, d.to_workers, d.reason, d.policy,
    d.inputs, g.grade, g.effect_seconds, g.cost_seconds, g.text AS grade_text
FROM decisions d
LEFT JOIN (
    SELECT decision, arg_max(grade, happened_at) AS grade, arg_max(effect_seconds, happened_at) AS effect_seconds,
        arg_max(cost_seconds, happened_at) AS cost_seconds, arg_max(text, happened_at) AS text
    FROM grades
    GROUP BY ALL
) g USING (decision);
COMMENT ON VIEW scaling IS 'Scaling decisions with timing, reason and what they turned out to be worth';

CREATE OR REPLACE VIEW current_findings AS
SELECT * EXCLUDE (file, place)
FROM findings
QUALIFY row_number() OVER (PARTITION BY finding ORDER BY happened_at DESC, file DESC, place DESC) = 1;
COMMENT ON VIEW current_findings IS 'What is known last of each finding';

CREATE OR REPLACE VIEW clock_jumps AS
SELECT campaign, worker, host, count(*) AS attempts, max(seconds_between(finished, started))
    AS most_seconds
FROM results
WHERE finished < started
GROUP BY ALL;
COMMENT ON VIEW clock_jumps IS 'Workers whose clock jumped back: attempts that ended before they began';

CREATE OR REPLACE VIEW prefect_campaigns AS
SELECT f.campaign, f.flow_run_id, f.flow, f.name, f.state_type, f.state_name, f.work_pool,
    f.started_at, f.ended_at, f.run_seconds, c.state, c.exit_code, c.opened_at, c.closed_at,
    seconds_between(c.opened_at, f.started_at) AS told_late_seconds
FROM prefect_flow_runs f
LEFT JOIN campaigns c USING (campaign)
WHERE f.campaign <> '';
COMMENT ON VIEW prefect_campaigns IS 'Campaigns beside the Prefect flow runs that stand for them';
