-- name: version
SELECT max(version) FROM migrations

-- name: version-of-old
SELECT max(version) FROM old.migrations

-- name: note-migration
INSERT INTO migrations VALUES (?, CAST(now() AT TIME ZONE 'UTC' AS TIMESTAMP), ?)

-- name: attach-old
ATTACH '{path}' AS old (READ_ONLY)
