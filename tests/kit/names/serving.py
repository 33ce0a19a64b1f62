"""dualwsgi.testing.serving by a short name."""

from dualwsgi.testing.serving import *  # noqa: F403
