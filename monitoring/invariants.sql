-- What must hold of every campaign, whatever died while it ran. Each statement gives the rows that
-- break one invariant: (validity, subject, reason). `invalid` breaks it; `unknown` says why nobody
-- can tell. No rows: it holds. Tables are those of ledger_tables.sql.

-- name: readable
-- Every line that counts can be read, and no byte that a writer had accepted is gone.
SELECT 'invalid' AS validity, d.file AS subject, d.problem AS reason
FROM damages d
LEFT JOIN accepted a USING (epoch)
WHERE d.stop <= coalesce(a.stop, d.stop)
UNION ALL
SELECT 'invalid', 'epoch ' || a.epoch, 'the journal of epoch ' || a.epoch || ' has ' || a.size
    || ' bytes; a later writer had accepted ' || a.stop
FROM accepted a
WHERE a.stop > a.size
UNION ALL
SELECT 'invalid', 'epoch ' || p.epoch, 'the journal of epoch ' || p.epoch || ' is gone; epoch '
    || p.by || ' had accepted ' || p.stop || ' bytes of it'
FROM (
    SELECT epoch AS by, CAST(unnest(map_keys(predecessors)) AS INTEGER) AS epoch,
        unnest(map_values(predecessors)) AS stop
    FROM headers
) p
ANTI JOIN journals j USING (epoch)
WHERE p.stop > 0
UNION ALL
SELECT 'unknown', 'epoch ' || a.epoch, 'the first line of epoch ' || a.epoch || ' cannot be used'
FROM accepted a
ANTI JOIN headers h USING (epoch)
WHERE a.stop > 0
UNION ALL
SELECT 'unknown', 'the ledger', 'no writer has opened the campaign: nothing stands in its ledger'
WHERE NOT EXISTS (FROM headers) AND NOT EXISTS (FROM damages)

-- name: no-case-lost
-- A campaign that ended has a result for each case, or has spent its budget of losses on it, or no
-- worker had what the case needs.
SELECT 'unknown' AS validity, r.campaign AS subject,
    'the campaign has no last word: it runs, or waits to be resumed' AS reason
FROM rules r
WHERE NOT EXISTS (FROM closing)
UNION ALL
SELECT 'unknown', r.campaign, 'the campaign ended as ' || l.state || ', before all its cases had run'
FROM rules r, closing l
WHERE l.state IN ('failed', 'refused')
UNION ALL
SELECT CASE WHEN r.maxfail IS NULL AND f.failed > 0 THEN 'unknown' ELSE 'invalid' END, v.case_id,
    v.case_id || ' was never run' || CASE WHEN r.maxfail IS NULL AND f.failed > 0
        THEN '; the ledger does not say whether failures were to stop the campaign' ELSE '' END
FROM verdicts v, closing l, rules r,
    (SELECT count(*) FILTER (failures > 0) AS failed FROM verdicts) f
WHERE v.judgement = 'not-run' AND l.state = 'completed' AND l.exit_code <> 9
    AND NOT (coalesce(r.maxfail, 0) > 0 AND f.failed >= r.maxfail)
    AND NOT EXISTS (FROM unmet u WHERE u.case_id = v.case_id AND u.epoch = r.epoch)
UNION ALL
SELECT 'invalid', u.case_id, u.case_id || ' was left out, and ' || min(l.worker)
    || ' was there, which has what it needs'
FROM unmet u
JOIN cases c USING (case_id)
JOIN (
    SELECT *, lead(turn) OVER (PARTITION BY epoch, worker ORDER BY turn) AS gone
    FROM lives
    WHERE event IN ('joined', 'lost', 'left')
) l ON l.epoch = u.epoch AND l.event = 'joined' AND u.turn > l.turn
    AND u.turn < coalesce(l.gone, 9223372036854775807) AND fits(c.needs, l.facts)
GROUP BY u.case_id
UNION ALL
SELECT CASE WHEN r.infra_retries IS NULL THEN 'unknown' ELSE 'invalid' END, v.case_id,
    v.case_id || ' was lost ' || v.losses || ' times and given up; its budget was '
    || coalesce(CAST(r.infra_retries AS VARCHAR), 'not written down')
FROM verdicts v, closing l, rules r,
    (SELECT count(*) FILTER (failures > 0) AS failed FROM verdicts) f
WHERE v.judgement = 'infra-lost' AND l.state = 'completed' AND l.exit_code <> 9
    AND v.losses <= coalesce(r.infra_retries, v.losses)
    AND NOT (coalesce(r.maxfail, 0) > 0 AND f.failed >= r.maxfail)
UNION ALL
SELECT 'invalid', v.case_id, v.case_id || ' failed ' || v.failures || ' times and was owed '
    || r.retries + 1 - v.failures || ' more tries'
FROM verdicts v, closing l, rules r
WHERE l.state = 'completed' AND l.exit_code <> 9 AND coalesce(r.maxfail, 0) = 0
    AND v.failures BETWEEN 1 AND r.retries AND v.judgement NOT IN ('flaky', 'infra-lost')
    AND NOT v.amended AND NOT v.at_collection
    -- Muted ones may have passed in the end.
    AND NOT EXISTS (FROM attempts a WHERE a.case_id = v.case_id AND is_good(a.final))

-- name: one-verdict
-- An execution counts once, a settled case is not sent again, and no two cases are taken for one.
SELECT 'invalid' AS validity, r.case_id AS subject, 'attempt ' || r.attempt || ' is recorded as '
    || a.outcome || ' and again as ' || r.outcome AS reason
FROM recorded r
JOIN attempts a USING (attempt)
WHERE r.time > 1 AND (r.outcome <> a.outcome OR r.case_id <> a.case_id)
UNION ALL
SELECT 'invalid', a.case_id, 'attempt ' || any_value(a.attempt) || ' is of ' || a.case_id
    || ', which is no case of this campaign'
FROM attempts a
ANTI JOIN cases c USING (case_id)
GROUP BY a.case_id
UNION ALL
SELECT 'invalid', u.case_id, u.case_id || ' was left out, which is no case of this campaign'
FROM unmet u
WHERE NOT EXISTS (FROM counting g WHERE g.kind = 'case' AND g.text->>'id' = u.case_id)
GROUP BY u.case_id
UNION ALL
SELECT 'invalid', min(case_id), count(*) || ' cases stand at place ' || index
    || ' of the collection: ' || min(case_id) || ' and ' || max(case_id)
FROM cases
GROUP BY index
HAVING count(*) > 1
UNION ALL
SELECT 'invalid', case_id, 'batch ' || batch || ' holds ' || case_id || ' '
    || count(*) || ' times'
FROM sent
WHERE case_id IS NOT NULL
GROUP BY epoch, batch, turn, case_id
HAVING count(*) > 1
UNION ALL
SELECT 'invalid', batch, 'batch ' || batch || ' of epoch ' || epoch || ' was sent '
    || count(*) || ' times'
FROM batches
GROUP BY epoch, batch
HAVING count(*) > 1
UNION ALL
SELECT CASE WHEN goods = 0 AND h.retries IS NULL THEN 'unknown' ELSE 'invalid' END, case_id,
    case_id || ' was sent again with batch ' || batch || CASE
        WHEN goods > 0 THEN ' after it had passed'
        WHEN h.retries IS NULL THEN ' after ' || failures || ' failures and ' || losses
            || ' losses; the ledger does not say how many it was allowed'
        WHEN failures > h.retries THEN ' after ' || failures || ' failures, ' || h.retries
            || ' retries were allowed'
        ELSE ' after ' || losses || ' losses, ' || h.infra_retries || ' were allowed' END
FROM (
    SELECT s.epoch, s.batch, s.case_id,
        count(*) FILTER (is_good(o.outcome)) AS goods,
        count(*) FILTER (is_failure(o.outcome)) AS failures,
        count(*) FILTER (o.outcome = 'infra-lost') AS losses
    FROM sent s
    JOIN (
        SELECT epoch AS writer, case_id, turn, outcome, final, amended FROM attempts
    ) o ON o.case_id = s.case_id AND o.turn < s.turn
    -- A result that came out of a batch it had been taken back from may cross its next sending.
    WHERE NOT (o.writer < s.epoch AND o.amended IS NOT NULL)
    GROUP BY ALL
) t
JOIN headers h USING (epoch)
WHERE goods > 0 OR (h.retries IS NULL AND failures + losses > 0)
    OR failures > h.retries OR losses > h.infra_retries

-- name: told-as-judged
-- What the campaign told people is what its attempts say.
SELECT 'invalid' AS validity, k.judgement AS subject, 'the last line says '
    || coalesce(t.told, 0) || ' ' || k.judgement || '; the attempts say '
    || coalesce(d.derived, 0) AS reason
FROM (
    SELECT judgement FROM verdicts UNION SELECT unnest(map_keys(counts)) FROM closing
) k
LEFT JOIN (
    SELECT unnest(map_keys(counts)) AS judgement, unnest(map_values(counts)) AS told FROM closing
) t USING (judgement)
LEFT JOIN (SELECT judgement, count(*) AS derived FROM verdicts GROUP BY ALL) d USING (judgement)
WHERE EXISTS (FROM closing WHERE len(map_keys(counts)) > 0)
    AND coalesce(t.told, 0) <> coalesce(d.derived, 0)
UNION ALL
SELECT 'invalid', 'exit code', 'it ended with exit code ' || l.exit_code || ', and '
    || f.blamed || ' cases failed, ' || f.nowhere || ' have no result'
FROM closing l, (
    SELECT count(*) FILTER (is_failure(judgement)) AS blamed,
        count(*) FILTER (judgement IN ('not-run', 'infra-lost')) AS nowhere
    FROM verdicts
) f
WHERE l.state = 'completed' AND (
    l.exit_code = 0 AND f.blamed + f.nowhere > 0
    OR l.exit_code = 1 AND f.blamed = 0
    OR l.exit_code = 6 AND f.nowhere = 0 AND f.blamed = 0
)
UNION ALL
SELECT 'unknown', r.campaign, 'nothing was told yet'
FROM rules r
WHERE NOT EXISTS (FROM closing)

-- name: nothing-fenced
-- No attempt of a writer that had lost its lease counts, nor of a worker's life that was given up.
SELECT 'invalid' AS validity, 'epoch ' || p.epoch AS subject,
    'writers disagree on how much of epoch ' || p.epoch || ' counts' AS reason
FROM (
    SELECT CAST(unnest(map_keys(predecessors)) AS INTEGER) AS epoch,
        unnest(map_values(predecessors)) AS stop
    FROM headers
) p
GROUP BY p.epoch
HAVING count(DISTINCT p.stop) > 1
UNION ALL
SELECT 'invalid', 'epoch ' || j.epoch, 'epoch ' || h.epoch || ' does not say how much of epoch '
    || j.epoch || ' it accepted'
FROM headers h
JOIN journals j ON j.epoch < h.epoch
WHERE h.predecessors IS NULL OR NOT map_contains(h.predecessors, CAST(j.epoch AS VARCHAR))
UNION ALL
SELECT 'invalid', 'epoch ' || epoch, 'the journal of epoch ' || epoch || ' says it is of '
    || coalesce('epoch ' || claimed, 'none')
FROM headers
WHERE claimed IS DISTINCT FROM epoch
UNION ALL
SELECT 'invalid', 'epoch ' || c.epoch, 'a line of epoch ' || c.epoch || ' that counts was written '
    || round(max(c.happened) - h.happened, 1) || ' s after epoch ' || h.epoch || ' had begun'
FROM headers h
JOIN counting c ON c.epoch < h.epoch AND c.happened > h.happened + 1
GROUP BY c.epoch, h.epoch, h.happened
UNION ALL
SELECT 'invalid', a.case_id, 'attempt ' || a.attempt || ' of epoch ' || a.of_epoch
    || ' counts in epoch ' || a.epoch || CASE WHEN a.of_epoch > a.epoch
        THEN ', before there was one' ELSE ', which had already sent batches of its own' END
FROM attempts a
LEFT JOIN (SELECT epoch, min(turn) AS turn FROM batches GROUP BY ALL) b USING (epoch)
WHERE a.of_epoch > a.epoch OR (a.of_epoch > 0 AND a.of_epoch < a.epoch AND a.turn > b.turn)
UNION ALL
SELECT 'invalid', a.case_id, 'attempt ' || a.attempt || ' began '
    || round(a.started - l.happened, 2) || ' s after its worker ' || a.worker || ' was given up'
FROM attempts a
ASOF JOIN lives l ON l.epoch = a.epoch AND l.worker = a.worker
    AND l.incarnation = a.incarnation AND l.turn <= a.turn
WHERE l.event IN ('lost', 'left') AND is_result(a.outcome) AND a.started > l.happened

-- name: sent-before-run
-- Each execution was ordered: its case stood in a batch, which was sent to that slot of a worker
-- that was there.
SELECT 'invalid' AS validity, a.case_id AS subject, 'attempt ' || a.attempt || ' was not ordered: '
    || CASE
        WHEN a.batch = '' THEN 'it names no batch'
        WHEN b.batch IS NULL THEN 'no batch ' || a.batch || ' was sent before it'
        WHEN NOT list_contains(b.indexes, c.index) THEN 'batch ' || a.batch || ' does not hold it'
        ELSE 'batch ' || a.batch || ' went to slot ' || b.slot || ' of ' || b.worker
            || ', and it ran on slot ' || a.slot || ' of ' || a.worker END AS reason
FROM attempts a
JOIN cases c USING (case_id)
LEFT JOIN batches b ON b.epoch = a.epoch AND b.batch = a.batch AND b.turn < a.turn
-- Of an earlier epoch: its batch may not have been written down before its writer died.
WHERE a.of_epoch = a.epoch AND a.batch <> 'collect' AND (
    b.batch IS NULL OR NOT list_contains(b.indexes, c.index)
    OR b.worker <> a.worker OR b.slot <> a.slot
)
UNION ALL
SELECT 'invalid', a.case_id, 'attempt ' || a.attempt || ' ran in a life of worker ' || a.worker
    || ' that never joined (' || a.incarnation || ')'
FROM attempts a
ANTI JOIN (SELECT * FROM lives WHERE event = 'joined') l
    ON l.epoch = a.epoch AND l.worker = a.worker AND l.incarnation = a.incarnation
WHERE a.of_epoch = a.epoch AND is_result(a.outcome) AND a.batch <> 'collect'
UNION ALL
SELECT 'invalid', b.batch, 'batch ' || b.batch || ' was sent to worker ' || b.worker
    || CASE WHEN l.event IS NULL THEN ', which had not joined' ELSE ' after it had been lost' END
FROM batches b
ASOF LEFT JOIN (SELECT * FROM lives WHERE event IN ('joined', 'lost', 'left')) l
    ON l.epoch = b.epoch AND l.worker = b.worker AND l.turn <= b.turn
WHERE l.event IS DISTINCT FROM 'joined'
UNION ALL
SELECT 'invalid', s.batch, 'batch ' || s.batch || ' holds case number ' || s.index
    || ', and there is none'
FROM sent s
WHERE s.case_id IS NULL AND NOT EXISTS (
    FROM counting g WHERE g.kind = 'case' AND CAST(g.text->>'index' AS INTEGER) = s.index
)

-- name: one-batch-a-slot
-- A slot has one batch at a time, and runs one case at a time.
SELECT 'invalid' AS validity, a.batch AS subject, 'slot ' || b.slot || ' of ' || b.worker
    || ' was sent batch ' || b.next || ' while ' || a.batch || ' ran ' || a.case_id AS reason
FROM (
    SELECT epoch, batch, worker, slot, turn,
        lead(batch) OVER later AS next, lead(turn) OVER later AS next_turn,
        lead(happened) OVER later AS next_at
    FROM batches
    WINDOW later AS (PARTITION BY epoch, worker, slot ORDER BY turn)
) b
JOIN attempts a ON a.epoch = b.epoch AND a.batch = b.batch AND a.turn > b.next_turn
-- Whatever the worker's clock says, it ended before it was recorded.
WHERE is_result(a.outcome) AND least(a.finished, a.happened) > b.next_at + 0.001
    AND NOT EXISTS (
        FROM lives l WHERE l.epoch = b.epoch AND l.worker = b.worker
            AND l.event = 'joined' AND l.turn BETWEEN b.turn AND b.next_turn
    )
UNION ALL
SELECT CASE WHEN jumped THEN 'unknown' ELSE 'invalid' END, case_id, attempt || ' began '
    || round(before - started, 3) || ' s before the one before it ended, on slot ' || slot
    || ' of ' || worker || CASE WHEN jumped THEN ', whose clock jumped' ELSE '' END
FROM (
    SELECT *, max(finished) OVER (
            PARTITION BY epoch, worker, incarnation, slot ORDER BY started, finished, turn
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before,
        bool_or(finished < started) OVER (PARTITION BY worker, incarnation) AS jumped
    FROM attempts
    WHERE is_result(outcome) AND worker <> ''
)
WHERE started < before - 0.001
UNION ALL
-- Of commands several may be killed, one after the other.
SELECT 'invalid', batch, 'batch ' || batch || ' lost ' || count(*) || ' cases at once, '
    || min(case_id) || ' and ' || max(case_id) || ' among them, and ran one at a time'
FROM attempts
WHERE outcome = 'infra-lost' AND batch <> ''
GROUP BY of_epoch, batch, finished
HAVING count(DISTINCT case_id) > 1
UNION ALL
SELECT 'invalid', b.batch, 'batch ' || b.batch || ' was sent to slot ' || b.slot || ' of '
    || b.worker || ', which has ' || l.facts.slots
FROM batches b
ASOF JOIN (SELECT * FROM lives WHERE facts IS NOT NULL) l
    ON l.epoch = b.epoch AND l.worker = b.worker AND l.turn <= b.turn
WHERE b.slot < 0 OR b.slot >= l.facts.slots
UNION ALL
SELECT 'invalid', worker, worker || ' was seen with ' || busy || ' busy slots of ' || slots
FROM samples
WHERE busy > slots

-- name: resources-fit
-- What runs together on a worker needs no more than the worker has.
SELECT 'invalid' AS validity, s.case_id AS subject, s.case_id || ' was sent to ' || s.worker
    || ', which does not have what it needs' AS reason
FROM sent s
ASOF JOIN (SELECT * FROM lives WHERE facts IS NOT NULL) l
    ON l.epoch = s.epoch AND l.worker = s.worker AND l.turn <= s.turn
WHERE s.case_id IS NOT NULL AND NOT fits(s.needs, l.facts)
UNION ALL
SELECT 'invalid', worker, worker || ' ran cases that need ' || CASE
        WHEN cpu > has.cpu + 1e-6 THEN 'cpu=' || round(cpu, 3) || ' of ' || has.cpu
        WHEN gpu > has.gpu + 1e-6 THEN 'gpu=' || round(gpu, 3) || ' of ' || has.gpu
        ELSE 'memory=' || memory || ' of ' || has.memory || ' bytes' END
    || ' at once, ' || case_id || ' among them'
FROM (
    SELECT e.worker, e.incarnation, e.case_id, l.facts AS has, e.step,
        sum(e.step * e.needs.cpu) OVER so_far AS cpu,
        sum(e.step * e.needs.memory) OVER so_far AS memory,
        sum(e.step * e.needs.gpu) OVER so_far AS gpu
    FROM (
        SELECT a.epoch, a.worker, a.incarnation, a.case_id, c.needs,
            unnest([a.started + 0.001, a.finished]) AS happened, unnest([1, -1]) AS step
        FROM attempts a
        JOIN cases c USING (case_id)
        -- An end that came a moment late must not meet the next beginning.
        WHERE is_result(a.outcome) AND a.worker <> '' AND a.finished > a.started + 0.001
    ) e
    JOIN (
        SELECT epoch, worker, incarnation, any_value(facts) AS facts
        FROM lives
        WHERE facts IS NOT NULL
        GROUP BY ALL
    ) l USING (epoch, worker, incarnation)
    WINDOW so_far AS (
        PARTITION BY e.epoch, e.worker, e.incarnation ORDER BY e.happened, e.step
        ROWS UNBOUNDED PRECEDING
    )
)
WHERE step > 0 AND (
    cpu > has.cpu + 1e-6 OR gpu > has.gpu + 1e-6 OR memory > has.memory
)
UNION ALL
SELECT 'invalid', worker, worker || ' was seen to use ' || memory_used || ' of ' || memory
    || ' bytes'
FROM samples
WHERE memory_used > memory

-- name: waits-bounded
-- No worker idles for longer than $wait_limit s while a case waits that it could run, and none is
-- sent around for ever.
WITH used AS (
    -- From the sending of a batch to the last word of it.
    SELECT b.epoch, b.worker, b.happened AS since,
        greatest(b.happened, coalesce(max(a.happened), b.happened)) AS until
    FROM batches b
    LEFT JOIN attempts a ON a.epoch = b.epoch AND a.batch = b.batch
    GROUP BY b.epoch, b.worker, b.batch, b.happened
), began AS (
    SELECT h.epoch, coalesce(
        min(c.happened) FILTER (c.kind = 'phase' AND c.text->>'phase' = 'run'),
        min(c.happened) FILTER (c.kind = 'batch')) AS happened,
        -- Sessions are torn down after the last word of a case. One that fails has none to wait
        -- for, and may have waited for what never came.
        max(c.happened) FILTER (
            c.kind IN ('attempt', 'batch') OR EXISTS (FROM closing WHERE state IN ('failed', 'refused'))
        ) AS until
    FROM headers h
    JOIN counting c USING (epoch)
    GROUP BY ALL
), there AS (
    SELECT l.epoch, l.worker, l.facts, greatest(l.happened, b.happened) AS since, least(
        coalesce((
            SELECT min(x.happened) FROM lives x
            WHERE x.epoch = l.epoch AND x.worker = l.worker AND x.turn > l.turn
        ), b.until),
        coalesce((
            SELECT min(n.happened) FROM counting n
            WHERE n.epoch = l.epoch AND n.turn > l.turn AND n.kind = 'note'
                AND contains(n.text->>'text', 'worker ' || l.worker || ' drains')
        ), b.until), b.until) AS until
    FROM lives l
    JOIN began b USING (epoch)
    WHERE l.event = 'joined' AND l.facts IS NOT NULL
), edges AS (
    SELECT t.epoch, t.worker, t.facts, t.until AS last, t.since AS happened, t.since AS until
    FROM there t
    UNION ALL
    SELECT t.epoch, t.worker, t.facts, t.until, u.since, u.until
    FROM there t
    JOIN used u ON u.epoch = t.epoch AND u.worker = t.worker
        AND u.since BETWEEN t.since AND t.until
), gaps AS (
    SELECT epoch, worker, facts,
        max(until) OVER so_far AS since,
        coalesce(lead(happened) OVER in_turn, last) AS until
    FROM edges
    WINDOW in_turn AS (PARTITION BY epoch, worker, last ORDER BY happened, until),
        so_far AS (
            PARTITION BY epoch, worker, last ORDER BY happened, until ROWS UNBOUNDED PRECEDING
        )
), waiting AS (
    SELECT c.case_id, c.needs, c.happened AS since,
        coalesce(min(a.started), 'infinity'::DOUBLE) AS until
    FROM cases c
    LEFT JOIN attempts a USING (case_id)
    GROUP BY ALL
)
SELECT 'invalid' AS validity, g.worker AS subject, g.worker || ' idled for '
    || round(g.until - g.since, 1) || ' s while ' || min(w.case_id) || ' waited' AS reason
FROM gaps g
JOIN waiting w ON w.since <= g.since AND w.until >= g.since + $wait_limit
    AND fits(w.needs, g.facts)
WHERE g.until - g.since > $wait_limit
GROUP BY g.worker, g.until, g.since
UNION ALL
-- Once in a while a batch does not reach its last case, and it is sent again.
SELECT 'invalid', s.case_id, s.case_id || ' was sent ' || s.times || ' times, and '
    || coalesce(a.times, 0) || ' executions are recorded'
FROM (SELECT case_id, count(*) AS times FROM sent WHERE case_id IS NOT NULL GROUP BY ALL) s
LEFT JOIN (SELECT case_id, count(*) AS times FROM attempts GROUP BY ALL) a USING (case_id)
WHERE s.times > coalesce(a.times, 0) + $most_returns
UNION ALL
SELECT 'unknown', 'workers', 'the ledger names no worker'
WHERE NOT EXISTS (FROM lives WHERE facts IS NOT NULL) AND EXISTS (FROM batches)

-- name: lost-work-goes-first
-- What a worker took with it runs again before anything else, from $recovery_limit s on.
SELECT 'invalid' AS validity, a.case_id AS subject, a.case_id || ' was lost with its worker; batch '
    || min(b.batch) || ' was sent ' || round(min(b.happened) - a.happened, 1)
    || ' s later to a worker that could have run it' AS reason
FROM attempts a
JOIN cases c USING (case_id)
JOIN rules r ON true
LEFT JOIN (SELECT epoch, case_id, turn FROM sent) s
    ON s.epoch = a.epoch AND s.case_id = a.case_id AND s.turn > a.turn
JOIN batches b ON b.epoch = a.epoch AND b.turn > a.turn
    AND b.happened > a.happened + $recovery_limit
    AND b.turn < coalesce(s.turn, 9223372036854775807)
    -- Those that were lost or failed before it have the same right.
    AND b.why NOT LIKE 'it runs alone%' AND b.why NOT LIKE 'a second try%'
ASOF JOIN (SELECT * FROM lives WHERE facts IS NOT NULL) l
    ON l.epoch = b.epoch AND l.worker = b.worker AND l.turn <= b.turn
WHERE a.outcome = 'infra-lost' AND fits(c.needs, l.facts)
    -- Unless it was given up, or its twin had a result meanwhile.
    AND r.infra_retries >= (
        SELECT count(*) FROM attempts o
        WHERE o.case_id = a.case_id AND o.outcome = 'infra-lost' AND o.turn <= a.turn
    )
    AND NOT EXISTS (
        FROM attempts o WHERE o.case_id = a.case_id AND is_result(o.outcome)
            AND o.turn < b.turn
    )
GROUP BY a.case_id, a.happened, a.attempt

-- name: same-verdicts
-- Another campaign of the same suite came to the same verdicts; one without faults, for instance.
SELECT 'invalid' AS validity, coalesce(v.case_id, o.case_id) AS subject, CASE
    WHEN v.case_id IS NULL THEN o.case_id || ' is no case of this campaign; in the other it is '
        || o.judgement
    WHEN o.case_id IS NULL THEN v.case_id || ' is ' || v.judgement
        || '; the other campaign does not have it'
    ELSE v.case_id || ' is ' || v.judgement || '; in the other campaign it is ' || o.judgement
    END AS reason
FROM verdicts v
FULL JOIN others o USING (case_id)
WHERE v.judgement IS DISTINCT FROM o.judgement
    AND EXISTS (FROM closing)
UNION ALL
SELECT 'unknown', r.campaign, 'the campaign has no last word: its verdicts may still change'
FROM rules r
WHERE NOT EXISTS (FROM closing)

-- name: detected-in-time
-- A killed worker is given up within $dead_limit s, a frozen one within $frozen_limit s.
WITH struck AS (
    SELECT happened, kind, until, unnest(string_split(regexp_replace(target, '^worker:', ''), ','))
        AS worker, CASE WHEN kind = 'freeze' THEN $frozen_limit ELSE $dead_limit END AS bound
    FROM faults
    WHERE event = 'injected' AND kind IN ('kill', 'freeze') AND target LIKE 'worker:%'
), busy AS (
    -- The writer of that moment lived on, and the worker had something to do.
    SELECT s.*, e.epoch, e.until AS ends, l.turn AS joined
    FROM struck s
    JOIN (
        SELECT epoch, min(happened) AS since, max(happened) AS until FROM counting GROUP BY epoch
    ) e ON s.happened BETWEEN e.since AND e.until
    ASOF JOIN (SELECT * FROM lives WHERE event IN ('joined', 'lost', 'left')) l
        ON l.epoch = e.epoch AND l.worker = s.worker AND l.happened <= s.happened
    WHERE l.event = 'joined' AND EXISTS (
        FROM sent b WHERE b.epoch = e.epoch AND b.worker = s.worker AND b.happened < s.happened
            AND b.turn > l.turn AND NOT EXISTS (
                FROM attempts a WHERE a.epoch = b.epoch AND a.batch = b.batch
                    AND a.case_id = b.case_id AND a.happened < s.happened
            )
    )
), noticed AS (
    SELECT b.worker, b.kind, b.happened, b.bound, b.ends, b.until,
        min(l.happened) FILTER (
            l.event IN ('lost', 'left', 'suspected') AND l.happened >= b.happened
        ) AS told
    FROM busy b
    LEFT JOIN lives l ON l.epoch = b.epoch AND l.worker = b.worker
    GROUP BY ALL
)
SELECT 'invalid' AS validity, worker AS subject, worker || ' had a ' || kind || ' and '
    || CASE WHEN told IS NULL THEN 'was never given up'
        ELSE 'was given up ' || round(told - happened, 2) || ' s later' END
    || ' (at most ' || bound || ' s)' AS reason
FROM noticed
-- One that thaws before that need not be noticed, nor can anyone after the end.
WHERE (told IS NULL OR told - happened > bound) AND ends > happened + bound
    AND (kind <> 'freeze' OR until IS NULL OR until > happened + bound)
UNION ALL
SELECT 'unknown', 'faults', 'no fault was injected while the campaign ran'
WHERE $faults_expected AND NOT EXISTS (FROM faults)
