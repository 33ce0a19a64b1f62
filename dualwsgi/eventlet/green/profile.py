"""eventlet.green.profile: the module profile as it is.

What it tells of a function that waits holds the time of those that ran meanwhile.
"""

from __future__ import annotations

import profile as _native

from ._copy import fill

fill(globals(), _native)
