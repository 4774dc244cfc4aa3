-- Version 2: the branch a campaign was of.
ALTER TABLE openings ADD COLUMN branch VARCHAR;
ALTER TABLE campaigns ADD COLUMN branch VARCHAR;
COMMENT ON COLUMN campaigns.branch IS 'The branch that was tested, where the campaign says it';
