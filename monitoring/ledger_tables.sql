-- What invariants are held against: the lines of one campaign as tables, read anew and not by the
-- code that is under suspicion. Given: `lines` (epoch, place, stop, kind, happened, text),
-- `journals` (epoch, size), `damages` (epoch, stop, file, problem), and `told` (kind, happened,
-- text: what recorders beside the campaign wrote).

-- name: evidence
CREATE MACRO turn(epoch, place) AS CAST(epoch AS BIGINT) * 17592186044416 + place;
CREATE MACRO is_good(o) AS o IN ('passed', 'skipped', 'xfailed', 'xpassed');
CREATE MACRO is_failure(o) AS o IN ('failed', 'error', 'crashed', 'timed-out', 'out-of-memory');
CREATE MACRO is_result(o) AS is_good(o) OR is_failure(o);
CREATE MACRO fits(n, w) AS n.cpu <= w.cpu + 1e-9 AND n.memory <= w.memory AND n.gpu <= w.gpu + 1e-9
    AND list_has_all(w.tags, n.tags);

CREATE TEMP TABLE headers AS
SELECT epoch, turn(epoch, place) AS turn, happened, u.campaign AS campaign, u.epoch AS claimed,
    u.predecessors AS predecessors, u.settings.rules.retries AS retries,
    u.settings.rules.infra_retries AS infra_retries, u.settings.rules.maxfail AS maxfail
FROM (
    SELECT epoch, place, happened, json_transform(text, '{
        "campaign": "VARCHAR", "epoch": "INTEGER", "predecessors": "MAP(VARCHAR, BIGINT)",
        "settings": {"rules": {
            "retries": "INTEGER", "infra_retries": "INTEGER", "maxfail": "INTEGER"}}}') AS u
    FROM lines
    WHERE kind = 'open' AND place = 0
);

-- The newest writer says how much of the earlier ones counts.
CREATE TEMP TABLE accepted AS
SELECT j.epoch, j.size, CASE
    WHEN h.epoch IS NULL OR j.epoch >= h.epoch THEN j.size
    ELSE coalesce(h.predecessors[CAST(j.epoch AS VARCHAR)], 0) END AS stop
FROM journals j
LEFT JOIN (SELECT * FROM headers ORDER BY epoch DESC LIMIT 1) h ON true;

CREATE TEMP TABLE counting AS
SELECT l.epoch, l.kind, l.happened, l.text, turn(l.epoch, l.place) AS turn
FROM lines l
JOIN accepted a USING (epoch)
WHERE l.stop <= a.stop AND l.kind IS NOT NULL;

CREATE TEMP TABLE lives AS
SELECT epoch, turn, happened, u.worker AS worker, coalesce(u.incarnation, '') AS incarnation,
    u.event AS event, coalesce(u.reason, '') AS reason,
    CASE WHEN u.facts IS NOT NULL AND u.facts.slots IS NOT NULL THEN {
        'slots': u.facts.slots, 'cpu': coalesce(u.facts.cpu, 0),
        'memory': coalesce(u.facts.memory_bytes, 0), 'gpu': coalesce(u.facts.gpu, 0),
        'tags': coalesce(u.facts.tags, [])} END AS facts
FROM (
    SELECT epoch, turn, happened, json_transform(text, '{
        "worker": "VARCHAR", "incarnation": "VARCHAR", "event": "VARCHAR", "reason": "VARCHAR",
        "facts": {"slots": "INTEGER", "cpu": "DOUBLE", "memory_bytes": "BIGINT", "gpu": "DOUBLE",
            "tags": ["VARCHAR"]}}') AS u
    FROM counting
    WHERE kind = 'worker'
);

-- Cases of which a writer said that no worker had what they need. Earlier versions wrote that as an
-- attempt on no worker, in a batch that never was.
CREATE TEMP TABLE unmet AS
SELECT epoch, turn, text->>'case' AS case_id
FROM counting
WHERE kind = 'unmet' OR (kind = 'attempt' AND text->>'batch' = 'unmet'
    AND text->>'outcome' = 'cancelled' AND coalesce(text->>'worker', '') = '');

CREATE TEMP TABLE recorded AS
SELECT epoch, turn, happened, u."case" AS case_id, u.id AS attempt, u.outcome AS outcome,
    u.started AS started, u.finished AS finished, coalesce(u.worker, '') AS worker,
    coalesce(u.incarnation, '') AS incarnation, coalesce(u.slot, 0) AS slot,
    coalesce(u.batch, '') AS batch, coalesce(u.epoch, 0) AS of_epoch,
    coalesce(u.message, '') AS message,
    row_number() OVER (PARTITION BY u.id ORDER BY turn) AS time
FROM (
    SELECT epoch, turn, happened, json_transform(text, '{
        "case": "VARCHAR", "id": "VARCHAR", "outcome": "VARCHAR", "started": "DOUBLE",
        "finished": "DOUBLE", "worker": "VARCHAR", "incarnation": "VARCHAR", "slot": "INTEGER",
        "batch": "VARCHAR", "epoch": "INTEGER", "message": "VARCHAR"}') AS u
    FROM counting
    ANTI JOIN unmet USING (turn)
    WHERE kind = 'attempt'
);

CREATE TEMP TABLE amendments AS
WITH said AS (
    SELECT turn, u."case" AS case_id, coalesce(u.attempt, '') AS attempt, u.outcome AS outcome
    FROM (
        SELECT turn, json_transform(text, '{
            "case": "VARCHAR", "attempt": "VARCHAR", "outcome": "VARCHAR"}') AS u
        FROM counting
        WHERE kind = 'amend'
    )
)
SELECT s.turn, s.case_id, s.outcome, arg_max(r.attempt, r.turn) AS attempt
FROM said s
LEFT JOIN recorded r ON r.case_id = s.case_id AND r.turn < s.turn AND r.time = 1
    AND (r.attempt = s.attempt OR s.attempt = '' AND is_result(r.outcome))
GROUP BY ALL;

-- Each execution once; `final` is what it turned out to be later.
CREATE TEMP TABLE attempts AS
SELECT r.* EXCLUDE (time), a.turn AS amended,
    CASE WHEN a.turn IS NOT NULL AND NOT is_failure(r.outcome) THEN a.outcome ELSE r.outcome END
        AS final
FROM recorded r
LEFT JOIN (
    SELECT attempt, min(turn) AS turn, arg_min(outcome, turn) AS outcome
    FROM amendments
    GROUP BY ALL
) a USING (attempt)
WHERE r.time = 1;

CREATE TEMP TABLE cases AS
WITH announced AS (
    SELECT u.id AS case_id, arg_max(u.index, turn) AS index, min(happened) AS happened,
        max(turn) AS turn, arg_max(epoch, turn) AS epoch,
        arg_max({'cpu': coalesce(u.needs.cpu, 1), 'memory': coalesce(u.needs.memory_bytes, 0),
            'gpu': coalesce(u.needs.gpu, 0), 'tags': coalesce(u.needs.tags, [])}, turn) AS needs
    FROM (
        SELECT epoch, turn, happened, json_transform(text, '{
            "id": "VARCHAR", "index": "INTEGER", "needs": {"cpu": "DOUBLE",
                "memory_bytes": "BIGINT", "gpu": "DOUBLE", "tags": ["VARCHAR"]}}') AS u
        FROM counting
        WHERE kind = 'case'
    )
    GROUP BY ALL
), gone AS (
    SELECT text->>'case' AS case_id, max(turn) AS turn
    FROM counting
    WHERE kind = 'vanished'
    GROUP BY ALL
)
SELECT a.*, EXISTS (FROM counting m WHERE m.kind = 'muted' AND m.text->>'case' = a.case_id)
    AS muted
FROM announced a
LEFT JOIN gone g USING (case_id)
-- One that ran is there, whatever a later look at its file said.
WHERE g.turn IS NULL OR g.turn < a.turn OR EXISTS (FROM attempts t WHERE t.case_id = a.case_id);

CREATE TEMP TABLE batches AS
SELECT epoch, turn, happened, u.batch AS batch, u.worker AS worker, coalesce(u.slot, 0) AS slot,
    coalesce(u.why, '') AS why, u.cases AS indexes
FROM (
    SELECT epoch, turn, happened, json_transform(text, '{
        "batch": "VARCHAR", "worker": "VARCHAR", "slot": "INTEGER", "cases": ["INTEGER"],
        "why": "VARCHAR"}') AS u
    FROM counting
    WHERE kind = 'batch'
);

CREATE TEMP TABLE sent AS
SELECT b.* EXCLUDE (index, indexes), b.index, c.case_id, c.needs
FROM (SELECT *, unnest(indexes) AS index FROM batches) b
LEFT JOIN cases c USING (index);

CREATE TEMP TABLE verdicts AS
WITH fared AS (
    SELECT case_id, count(*) FILTER (outcome <> 'cancelled') AS executions,
        count(*) FILTER (is_failure(final)) AS failures,
        count(*) FILTER (outcome = 'infra-lost') AS losses,
        arg_max(final, turn) FILTER (is_result(final)) AS last,
        bool_or(amended IS NOT NULL) AS amended,
        bool_or(batch = 'collect') AS at_collection
    FROM attempts
    GROUP BY ALL
)
SELECT c.case_id, coalesce(f.executions, 0) AS executions, coalesce(f.failures, 0) AS failures,
    coalesce(f.losses, 0) AS losses, coalesce(f.amended, false) AS amended,
    coalesce(f.at_collection, false) AS at_collection,
    CASE
        WHEN f.executions IS NULL OR f.executions = 0 THEN 'not-run'
        WHEN f.last IS NULL THEN 'infra-lost'
        WHEN f.failures > 0 AND c.muted THEN 'muted'
        WHEN f.failures > 0 AND NOT is_failure(f.last) THEN 'flaky'
        ELSE f.last
    END AS judgement
FROM cases c
LEFT JOIN fared f USING (case_id);

-- The last word, if no writer came after it.
CREATE TEMP TABLE closing AS
SELECT turn, happened, u.state AS state, u.exit_code AS exit_code, u.counts AS counts
FROM (
    SELECT turn, happened, json_transform(text, '{
        "state": "VARCHAR", "exit_code": "INTEGER", "counts": "MAP(VARCHAR, BIGINT)"}') AS u
    FROM counting
    WHERE kind = 'close' AND turn > coalesce((SELECT max(turn) FROM headers), 0)
)
ORDER BY turn DESC
LIMIT 1;

-- The newest writer's, which are also those it was resumed with.
CREATE TEMP TABLE rules AS
SELECT epoch, campaign, retries, infra_retries, maxfail FROM headers ORDER BY epoch DESC LIMIT 1;

CREATE TEMP TABLE faults AS
SELECT happened, u.id AS fault, u.fault AS kind, u.target AS target, u.event AS event,
    u.until AS until
FROM (
    SELECT happened, json_transform(text, '{
        "id": "VARCHAR", "fault": "VARCHAR", "target": "VARCHAR", "event": "VARCHAR",
        "until": "DOUBLE"}') AS u
    FROM told
    WHERE kind = 'fault'
)
WHERE happened BETWEEN (SELECT min(happened) FROM headers) AND (SELECT max(happened) FROM counting);

CREATE TEMP TABLE samples AS
SELECT happened, u.worker AS worker, u.slots AS slots, u.busy AS busy, u.memory AS memory,
    u.memory_used AS memory_used
FROM (
    SELECT happened, json_transform(text, '{
        "worker": "VARCHAR", "slots": "INTEGER", "busy": "INTEGER", "memory": "DOUBLE",
        "memory_used": "DOUBLE"}') AS u
    FROM told
    WHERE kind = 'usage'
)
WHERE happened BETWEEN (SELECT min(happened) FROM headers) AND (SELECT max(happened) FROM counting)
