"""Which slot runs what next. Pure: no fleet, no ledger, no processes."""
