"""`python -m proctor` is the `proctor` command."""

from __future__ import annotations

import sys

from .deployments.entry import main

sys.exit(main())
