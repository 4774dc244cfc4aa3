-- The memory of Proctor, version 1. Everything here is a projection of journals and of Prefect's
-- run history: `proctor store rebuild` makes it anew. No table has an index: scans with zone maps
-- are fast enough, and DuckDB replays no index after a crash then. Times are UTC.

CREATE TYPE outcome AS ENUM (
    'passed', 'failed', 'error', 'skipped', 'xfailed', 'xpassed', 'crashed', 'timed-out',
    'out-of-memory', 'infra-lost', 'cancelled'
);
CREATE TYPE judgement AS ENUM (
    'passed', 'failed', 'error', 'skipped', 'xfailed', 'xpassed', 'crashed', 'timed-out',
    'out-of-memory', 'flaky', 'muted', 'infra-lost', 'not-run'
);

-- Seconds since 1970 as a moment.
CREATE MACRO moment(seconds) AS make_timestamp(CAST(round(seconds * 1e6) AS BIGINT));
CREATE MACRO is_good(o) AS o IN ('passed', 'skipped', 'xfailed', 'xpassed');
CREATE MACRO is_failure(o) AS o IN ('failed', 'error', 'crashed', 'timed-out', 'out-of-memory');
CREATE MACRO is_result(o) AS o NOT IN ('infra-lost', 'cancelled');
CREATE MACRO is_blamed(j) AS j IN ('failed', 'error', 'crashed', 'timed-out', 'out-of-memory');
-- Orders the lines of a campaign: by writer, then by place in its journal.
CREATE MACRO turn(epoch, place) AS CAST(epoch AS BIGINT) * 17592186044416 + place;
-- Whole microseconds: their sums do not depend on the order in which threads add them up.
CREATE MACRO micros(seconds) AS TRY_CAST(round(seconds * 1e6) AS BIGINT);
CREATE MACRO seconds_between(a, b) AS (epoch_us(b) - epoch_us(a)) / 1e6;

-- The store itself -------------------------------------------------------------------------------

CREATE TABLE migrations (version INTEGER, applied_at TIMESTAMP, proctor VARCHAR);
COMMENT ON TABLE migrations IS 'Which versions of the schema this file went through';

CREATE TABLE journals (
    campaign_no INTEGER, epoch INTEGER, file VARCHAR, "offset" BIGINT, seen_bytes BIGINT
);
COMMENT ON TABLE journals IS 'How far each journal is taken in; advanced with its rows, in one transaction';
COMMENT ON COLUMN journals.campaign_no IS 'The campaign, or NULL for the journal of another recorder';
COMMENT ON COLUMN journals.file IS 'Its path, relative to the state directory';
COMMENT ON COLUMN journals."offset" IS 'All complete lines before this byte are taken in';
COMMENT ON COLUMN journals.seen_bytes IS 'How large the file was then; a torn or fenced end is not taken in';

CREATE TABLE problems (
    campaign_no INTEGER, file VARCHAR, place BIGINT, kind VARCHAR, text VARCHAR
);
COMMENT ON TABLE problems IS 'Lines that could not be taken in, and what contradicts itself';
COMMENT ON COLUMN problems.place IS 'The byte of the file at which the line begins';
COMMENT ON COLUMN problems.kind IS 'damaged, contradiction or orphan';

-- Campaigns --------------------------------------------------------------------------------------

CREATE TABLE projects (project_no INTEGER, project VARCHAR);
COMMENT ON TABLE projects IS 'What campaigns of one suite share: the name of its project, or else its root';

CREATE TABLE campaigns (
    campaign_no INTEGER, campaign VARCHAR, project_no INTEGER, name VARCHAR, root VARCHAR,
    command VARCHAR, host VARCHAR, commit_id VARCHAR, environment VARCHAR, state VARCHAR,
    exit_code INTEGER, epochs INTEGER, opened_at TIMESTAMP, running_at TIMESTAMP,
    first_case_at TIMESTAMP, last_case_at TIMESTAMP, closed_at TIMESTAMP, last_line_at TIMESTAMP,
    slots INTEGER, predicted_makespan_seconds DOUBLE, lower_bound_seconds DOUBLE,
    makespan_seconds DOUBLE, known_cases INTEGER, unknown_cases INTEGER,
    cases INTEGER, attempts INTEGER, passed INTEGER, failed INTEGER, skipped INTEGER,
    flaky INTEGER, muted INTEGER, infra_lost INTEGER, not_run INTEGER,
    busy_seconds DOUBLE, cpu_seconds DOUBLE, gaps INTEGER, gap_seconds DOUBLE,
    gap_median_seconds DOUBLE, gap_p95_seconds DOUBLE, first_case_seconds DOUBLE,
    pruned_at TIMESTAMP
);
COMMENT ON TABLE campaigns IS 'One row a submission, with its final figures or those so far';
COMMENT ON COLUMN campaigns.campaign IS 'Its id, the name of its directory';
COMMENT ON COLUMN campaigns.command IS 'What was asked for, as a JSON list';
COMMENT ON COLUMN campaigns.commit_id IS 'The commit that was tested, where the campaign says it';
COMMENT ON COLUMN campaigns.environment IS 'The fingerprint of the environment, where the campaign says it';
COMMENT ON COLUMN campaigns.state IS 'running, interrupted, completed, cancelled or failed; at the last ingest';
COMMENT ON COLUMN campaigns.epochs IS 'How many processes wrote it, one after another';
COMMENT ON COLUMN campaigns.running_at IS 'When its run phase began: collected and planned';
COMMENT ON COLUMN campaigns.first_case_at IS 'When its first case began';
COMMENT ON COLUMN campaigns.passed IS 'Verdicts: passed, xfailed or xpassed';
COMMENT ON COLUMN campaigns.failed IS 'Verdicts that count against it: failed, error, crashed, timed-out, out-of-memory';
COMMENT ON COLUMN campaigns.not_run IS 'Cases without a result, so far or for good';
COMMENT ON COLUMN campaigns.busy_seconds IS 'Seconds that slots spent in attempts';
COMMENT ON COLUMN campaigns.gaps IS 'How often one attempt followed another on a slot';
COMMENT ON COLUMN campaigns.gap_seconds IS 'Seconds between attempts that follow each other on a slot: the overhead of the system itself';
COMMENT ON COLUMN campaigns.first_case_seconds IS 'From submission to the first case';
COMMENT ON COLUMN campaigns.pruned_at IS 'When its attempts were rolled up into case_days and dropped';

CREATE TABLE openings (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, campaign VARCHAR, name VARCHAR,
    root VARCHAR, project VARCHAR, command VARCHAR, settings VARCHAR, host VARCHAR, pid BIGINT,
    commit_id VARCHAR, environment VARCHAR
);
COMMENT ON TABLE openings IS 'The first line of each writer of a campaign';
COMMENT ON COLUMN openings.settings IS 'As a JSON object';

CREATE TABLE phases (campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, phase VARCHAR);
COMMENT ON TABLE phases IS 'When a campaign entered collect, plan, run, judge, report, done';

CREATE TABLE plans (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, slots INTEGER,
    predicted_makespan_seconds DOUBLE, lower_bound_seconds DOUBLE, known_cases INTEGER,
    unknown_cases INTEGER
);
COMMENT ON TABLE plans IS 'What was expected before the first batch';

CREATE TABLE closes (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, state VARCHAR,
    exit_code INTEGER, makespan_seconds DOUBLE, lower_bound_seconds DOUBLE, slots INTEGER,
    counts VARCHAR
);
COMMENT ON TABLE closes IS 'The last word of a writer';
COMMENT ON COLUMN closes.counts IS 'Verdicts by judgement as the campaign said it, a JSON object';

CREATE TABLE notes (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, level VARCHAR, text VARCHAR
);
COMMENT ON TABLE notes IS 'What a campaign told people: info, warning or error';

CREATE TABLE batches (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, batch VARCHAR, worker VARCHAR,
    slot INTEGER, cases INTEGER, why VARCHAR
);
COMMENT ON TABLE batches IS 'Cases sent to a slot together';
COMMENT ON COLUMN batches.cases IS 'How many';
COMMENT ON COLUMN batches.why IS 'Why there and then';

-- Cases and attempts -----------------------------------------------------------------------------

CREATE TABLE cases (
    case_no INTEGER, project_no INTEGER, case_id VARCHAR, file VARCHAR, function VARCHAR,
    kind VARCHAR
);
COMMENT ON TABLE cases IS 'Every case a project ever had';
COMMENT ON COLUMN cases.case_id IS 'A pytest node id, or the name of a task';
COMMENT ON COLUMN cases.file IS 'The group whose cases share warm state: for pytest the file';
COMMENT ON COLUMN cases.function IS 'The id without parameters';
COMMENT ON COLUMN cases.kind IS 'pytest, command or callable';

CREATE TABLE campaign_cases (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, index INTEGER,
    needs_cpu DOUBLE, needs_memory_bytes BIGINT, needs_gpu DOUBLE, needs_tags VARCHAR,
    timeout_seconds DOUBLE, tags VARCHAR
);
COMMENT ON TABLE campaign_cases IS 'Which cases a campaign announced, and what each said it needs';
COMMENT ON COLUMN campaign_cases.index IS 'The place in collection order';
COMMENT ON COLUMN campaign_cases.needs_tags IS 'Names a worker must carry, as a JSON list';
COMMENT ON COLUMN campaign_cases.tags IS 'Names of its markers, or the tags of a task, as a JSON list';

CREATE TABLE case_events (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, event VARCHAR, reason VARCHAR
);
COMMENT ON TABLE case_events IS 'What a campaign said of a case besides its attempts: vanished or muted';

CREATE TABLE attempts (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, attempt VARCHAR,
    outcome outcome, started TIMESTAMP, finished TIMESTAMP, seconds DOUBLE, cpu_seconds DOUBLE,
    peak_memory_bytes BIGINT, read_bytes BIGINT, write_bytes BIGINT, gpu_utilisation DOUBLE,
    gpu_memory_bytes BIGINT, setup_seconds DOUBLE, call_seconds DOUBLE, teardown_seconds DOUBLE,
    shared_setup_seconds DOUBLE, worker_no INTEGER, slot INTEGER, batch VARCHAR, message VARCHAR,
    output_epoch INTEGER, output_offset BIGINT, output_length BIGINT
);
COMMENT ON TABLE attempts IS 'Each execution of a case on a worker, once, with what it used';
COMMENT ON COLUMN attempts.epoch IS 'The writer that recorded it; with place, the order of recording';
COMMENT ON COLUMN attempts.place IS 'The byte of its line in the journal of that epoch';
COMMENT ON COLUMN attempts.attempt IS 'Identifies the execution within the campaign';
COMMENT ON COLUMN attempts.outcome IS 'How it ended, amendments applied';
COMMENT ON COLUMN attempts.seconds IS 'Measured wall time; a clock that jumps does not change it';
COMMENT ON COLUMN attempts.gpu_utilisation IS 'NULL where there was no GPU to look at';
COMMENT ON COLUMN attempts.shared_setup_seconds IS 'The part of setup that prepared fixtures wider than the function';
COMMENT ON COLUMN attempts.output_offset IS 'Where its text stands in the output file of output_epoch';

CREATE TABLE amendments (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP,
    attempt VARCHAR, before outcome, outcome outcome, message VARCHAR, output_epoch INTEGER,
    output_offset BIGINT, output_length BIGINT
);
COMMENT ON TABLE amendments IS 'Later, worse outcomes of attempts: a wider fixture failed in its teardown';
COMMENT ON COLUMN amendments.before IS 'What the attempt was recorded as';

CREATE TABLE attempt_notes (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, attempt VARCHAR, text VARCHAR
);
COMMENT ON TABLE attempt_notes IS 'What a person should know of an attempt that is no failure';

CREATE TABLE metrics (
    campaign_no INTEGER, case_no INTEGER, epoch INTEGER, place BIGINT, attempt VARCHAR,
    happened_at TIMESTAMP,     name VARCHAR, value DOUBLE, text VARCHAR, unit VARCHAR, better VARCHAR
);
COMMENT ON TABLE metrics IS 'Values that cases recorded themselves (record_property and the like)';
COMMENT ON COLUMN metrics.value IS 'NULL if it is no finite number; text then says what it is';
COMMENT ON COLUMN metrics.unit IS 'As the case said it, or empty';
COMMENT ON COLUMN metrics.better IS 'lower or higher, or empty';

CREATE TABLE verdicts (
    campaign_no INTEGER, case_no INTEGER, judgement judgement, attempts INTEGER,
    decided_by VARCHAR, message VARCHAR, seconds DOUBLE, decided_at TIMESTAMP
);
COMMENT ON TABLE verdicts IS 'The one result of each case of a campaign, derived from its attempts';
COMMENT ON COLUMN verdicts.attempts IS 'Executions that were not cancelled';
COMMENT ON COLUMN verdicts.decided_by IS 'The attempt that decided, if any did';

CREATE TABLE case_history (
    case_no INTEGER, campaign_no INTEGER, outcome outcome, started TIMESTAMP, seconds DOUBLE,
    cpu_seconds DOUBLE, peak_memory_bytes BIGINT, gpu_utilisation DOUBLE,
    shared_setup_seconds DOUBLE, worker_no INTEGER, message VARCHAR
);
COMMENT ON TABLE case_history IS 'Attempts of sorted_campaigns once more, sorted by case: the history of one stands together; ask the view history';

CREATE TABLE sorted_campaigns (campaign_no INTEGER);
COMMENT ON TABLE sorted_campaigns IS 'Campaigns whose attempts stand in case_history';

CREATE TABLE case_days (
    project_no INTEGER, case_no INTEGER, day DATE, worker_class VARCHAR, attempts BIGINT,
    passed BIGINT, failed BIGINT, skipped BIGINT, infra_lost BIGINT, cancelled BIGINT,
    flaky BIGINT, seconds DOUBLE, min_seconds DOUBLE, median_seconds DOUBLE, max_seconds DOUBLE,
    cpu_seconds DOUBLE, peak_memory_bytes BIGINT
);
COMMENT ON TABLE case_days IS 'What is left of attempts that were dropped: one row a case, day and class of worker';
COMMENT ON COLUMN case_days.passed IS 'Attempts that passed, xfailed or xpassed';
COMMENT ON COLUMN case_days.flaky IS 'Campaigns in which it passed after it had failed';
COMMENT ON COLUMN case_days.median_seconds IS 'Of one campaign; of several that ran that day, their mean by attempts';

-- The fleet --------------------------------------------------------------------------------------

CREATE TABLE workers (
    worker_no INTEGER, campaign_no INTEGER, worker VARCHAR, incarnation VARCHAR,
    worker_class VARCHAR, slots INTEGER, cpu DOUBLE, memory_bytes BIGINT, gpu DOUBLE,
    tags VARCHAR, host VARCHAR, simulated_gpu BOOLEAN
);
COMMENT ON TABLE workers IS 'The workers of each campaign: one row a life of a worker';
COMMENT ON COLUMN workers.incarnation IS 'Tells this life of the worker from others under its name';
COMMENT ON COLUMN workers.worker_class IS 'Empty if the worker never said what it is';
COMMENT ON COLUMN workers.tags IS 'As a JSON list';
COMMENT ON COLUMN workers.simulated_gpu IS 'The GPU is only a tag, on a machine that has none';

CREATE TABLE worker_figures (
    campaign_no INTEGER, worker_no INTEGER, attempts BIGINT, failed BIGINT, infra_lost BIGINT,
    busy_seconds DOUBLE, cpu_seconds DOUBLE, memory_byte_seconds DOUBLE, gpu_seconds DOUBLE,
    first_at TIMESTAMP, last_at TIMESTAMP, asked_cpu_seconds DOUBLE, asked_memory_bytes DOUBLE,
    asked_memory_used_bytes DOUBLE, memory_exceeded BIGINT, gpu_untouched BIGINT,
    gpu_not_asked BIGINT
);
COMMENT ON TABLE worker_figures IS 'What each worker did in a campaign, summed up; stays when attempts are dropped';
COMMENT ON COLUMN worker_figures.memory_byte_seconds IS 'Peak memory of each attempt times its seconds';
COMMENT ON COLUMN worker_figures.gpu_seconds IS 'GPU utilisation of each attempt times its seconds';
COMMENT ON COLUMN worker_figures.asked_memory_bytes IS 'What attempts that had asked for memory had asked for';
COMMENT ON COLUMN worker_figures.asked_memory_used_bytes IS 'What those attempts used';
COMMENT ON COLUMN worker_figures.memory_exceeded IS 'Attempts that used more memory than they had asked for';
COMMENT ON COLUMN worker_figures.gpu_untouched IS 'Attempts that had asked for a GPU and used no memory of one';
COMMENT ON COLUMN worker_figures.gpu_not_asked IS 'Attempts on a worker with a GPU that had not asked for one';

CREATE TABLE worker_events (
    campaign_no INTEGER, epoch INTEGER, place BIGINT, happened_at TIMESTAMP, worker_no INTEGER,
    event VARCHAR, reason VARCHAR
);
COMMENT ON TABLE worker_events IS 'joined, left, lost or suspected';

CREATE TABLE usage_samples (
    file VARCHAR, place BIGINT, happened_at TIMESTAMP, worker VARCHAR, incarnation VARCHAR,
    worker_class VARCHAR, host VARCHAR, slots INTEGER, busy_slots INTEGER, cpu DOUBLE,
    cpu_used DOUBLE, memory_bytes BIGINT, memory_used_bytes BIGINT, gpu DOUBLE, gpu_used DOUBLE,
    gpu_memory_bytes BIGINT, gpu_memory_used_bytes BIGINT
);
COMMENT ON TABLE usage_samples IS 'What workers have and use, as the recorder of the fleet saw it now and then';
COMMENT ON COLUMN usage_samples.cpu_used IS 'In cores, as cpu is';
COMMENT ON COLUMN usage_samples.gpu_used IS 'In devices, as gpu is';

CREATE TABLE decisions (
    file VARCHAR, place BIGINT, happened_at TIMESTAMP, decision VARCHAR, worker_class VARCHAR,
    from_workers INTEGER, to_workers INTEGER, reason VARCHAR, policy VARCHAR, inputs VARCHAR
);
COMMENT ON TABLE decisions IS 'Scaling decisions: what was decided, why, and from what';
COMMENT ON COLUMN decisions.inputs IS 'What the policy saw, as a JSON object';

CREATE TABLE grades (
    file VARCHAR, place BIGINT, happened_at TIMESTAMP, decision VARCHAR, grade VARCHAR, effect_seconds DOUBLE,
    cost_seconds DOUBLE, text VARCHAR
);
COMMENT ON TABLE grades IS 'What a scaling decision turned out to be worth, later';
COMMENT ON COLUMN grades.effect_seconds IS 'From the decision to the wanted size';
COMMENT ON COLUMN grades.cost_seconds IS 'Worker seconds that it cost, or saved if negative';

CREATE TABLE faults (
    file VARCHAR, place BIGINT, happened_at TIMESTAMP, fault VARCHAR, experiment VARCHAR, kind VARCHAR,
    target VARCHAR, event VARCHAR, until TIMESTAMP, detail VARCHAR
);
COMMENT ON TABLE faults IS 'Injected failures: each with its beginning and its end';
COMMENT ON COLUMN faults.event IS 'injected, noticed, undone, expired or refused';
COMMENT ON COLUMN faults.detail IS 'How it is undone and what it was asked to do, as a JSON object';

CREATE TABLE findings (
    file VARCHAR, place BIGINT, happened_at TIMESTAMP, finding VARCHAR, kind VARCHAR, status VARCHAR,
    project VARCHAR, case_id VARCHAR, metric VARCHAR, worker_class VARCHAR, since TIMESTAMP,
    commit_id VARCHAR, size DOUBLE, size_low DOUBLE, size_high DOUBLE, probability DOUBLE,
    text VARCHAR, detail VARCHAR
);
COMMENT ON TABLE findings IS 'What the analysis of trends says';
COMMENT ON COLUMN findings.kind IS 'anomaly, change, trend, flaky or forecast';
COMMENT ON COLUMN findings.status IS 'suspected, confirmed, dismissed or recovered; the newest line of a finding counts';
COMMENT ON COLUMN findings.size IS 'Relative to the level before: 0.1 is a tenth more';

-- Prefect's run history --------------------------------------------------------------------------

CREATE TABLE prefect_flow_runs (
    server VARCHAR, flow_run_id VARCHAR, campaign VARCHAR, flow VARCHAR, name VARCHAR,
    deployment_id VARCHAR, work_pool VARCHAR, parent_task_run_id VARCHAR, tags VARCHAR,
    state_type VARCHAR, state_name VARCHAR, created_at TIMESTAMP, expected_start_at TIMESTAMP,
    started_at TIMESTAMP, ended_at TIMESTAMP, run_seconds DOUBLE, run_count INTEGER,
    has_states BOOLEAN
);
COMMENT ON TABLE prefect_flow_runs IS 'Flow runs as Prefect keeps them';
COMMENT ON COLUMN prefect_flow_runs.server IS 'The address of the API it was read from';
COMMENT ON COLUMN prefect_flow_runs.campaign IS 'The campaign it stands for, or empty';
COMMENT ON COLUMN prefect_flow_runs.tags IS 'As a JSON list';
COMMENT ON COLUMN prefect_flow_runs.state_type IS 'As Prefect has it, or DELETED: somebody deleted it there';
COMMENT ON COLUMN prefect_flow_runs.has_states IS 'Whether all its states are in prefect_states';

CREATE TABLE prefect_task_runs (
    task_run_id VARCHAR, flow_run_id VARCHAR, name VARCHAR, task_key VARCHAR, state_type VARCHAR,
    state_name VARCHAR, created_at TIMESTAMP, started_at TIMESTAMP, ended_at TIMESTAMP,
    run_seconds DOUBLE, run_count INTEGER
);
COMMENT ON TABLE prefect_task_runs IS 'Task runs as Prefect keeps them; for campaigns these are its phases';

CREATE TABLE prefect_states (
    state_id VARCHAR, flow_run_id VARCHAR, task_run_id VARCHAR, happened_at TIMESTAMP,
    type VARCHAR, name VARCHAR, message VARCHAR
);
COMMENT ON TABLE prefect_states IS 'States of flow runs, and the last one of each task run';
COMMENT ON COLUMN prefect_states.task_run_id IS 'Empty for a state of the flow run itself';

CREATE TABLE prefect_cursors (server VARCHAR, until TIMESTAMP, synced_at TIMESTAMP);
COMMENT ON TABLE prefect_cursors IS 'How far the history of each Prefect server is taken in';
COMMENT ON COLUMN prefect_cursors.until IS 'The newest end of a flow run that was seen';
