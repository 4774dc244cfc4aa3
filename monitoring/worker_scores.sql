-- What the speeds of workers are told by.

-- name: runs
-- The newest runs of each case on each worker: passes, for a failure is no news of a speed.
SELECT a.case_no, w.worker, greatest(a.seconds - coalesce(a.shared_setup_seconds, 0), 0) AS seconds
FROM attempts a
JOIN workers w USING (worker_no)
WHERE a.outcome IN ('passed', 'xfailed', 'xpassed')
    AND a.campaign_no IN (
        SELECT campaign_no FROM campaigns
        WHERE pruned_at IS NULL
        ORDER BY opened_at DESC, campaign DESC
        LIMIT $campaigns
    )
    AND a.seconds - coalesce(a.shared_setup_seconds, 0) >= $least
QUALIFY row_number() OVER (
    PARTITION BY a.case_no, w.worker ORDER BY a.started DESC, a.epoch DESC, a.place DESC
) <= $most
ORDER BY a.case_no, w.worker, a.started, a.epoch, a.place
