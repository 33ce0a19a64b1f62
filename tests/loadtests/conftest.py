"""`loadtests` is a folder of the checkout and no installed package: these tests put it on the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
