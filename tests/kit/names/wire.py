"""dualwsgi.testing.wire by a short name."""

from dualwsgi.testing.wire import *  # noqa: F403
