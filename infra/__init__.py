"""Where tests run: facts, planning, dispatch, runners, the ledger and the fleet."""
