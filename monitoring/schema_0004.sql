-- Version 4: the views are made anew; success rates leave out campaigns that failed as a whole.
COMMENT ON COLUMN campaigns.exit_code IS 'As proctor run had it; NULL while there is none';
