"""dualwsgi.testing.pki by a short name."""

from dualwsgi.testing.pki import *  # noqa: F403
