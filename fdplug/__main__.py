"""`python -m fdplug`."""

from __future__ import annotations

import sys

from fdplug.cli import main

sys.exit(main())
