"""All that watches one server: its access log and journal, metrics, StatsD, the control socket.

They are opened as the settings say, and closed together.  Each is imported when it is wanted, since
none is needed to serve.  What they see of the server is in subject.py.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ...config import AUTO
from ...errors import ConfigError
from ...gateway.site import Application
from .subject import Subject

if TYPE_CHECKING:
    from .accesslog import AccessLog
    from .control import Control
    from .metrics import MetricsServer
    from .statsd import Statsd

__all__ = ["Watchers"]

logger = logging.getLogger("dualwsgi")


class Watchers:
    """Those of one server.  Raises ConfigError for a log that could not be written, were it on; what opens
    raises it if it cannot."""

    def __init__(self, server: Subject) -> None:
        self._server = server
        config = server.config
        if config.access_log_format != "combined" or config.access_log_skip:
            from .accesslog import check_log

            check_log(config)
        self.log: AccessLog | None = None
        self.control: Control | None = None
        self.metrics: MetricsServer | None = None
        self._statsd: Statsd | None = None

    def watch(self, app: Application) -> Application:
        """Opens the access log; the application as whoever writes and traces needs it to be called."""
        config = self._server.config
        if config.opentelemetry:
            from .tracing import traced

            app = traced(app)
        if config.access_log is None and not config.request_id and not config.server_timing:
            return app
        from .accesslog import open_journal, open_log

        journal = open_journal(config)
        self.log = open_log(config, journal)
        return app if journal is None else journal.wrap(app)

    def open_figures(self) -> None:
        """What is asked for figures, and what sends them."""
        config = self._server.config
        if config.metrics_bind:
            from .metrics import MetricsServer

            self.metrics = MetricsServer(self._server, config.metrics_bind)
        if config.statsd_host:
            from .statsd import Statsd

            self._statsd = Statsd(self._server, config.statsd_host, config.statsd_prefix)

    def open_control(self) -> None:
        """The control socket, unless it is open; one that nobody has asked for may be missing."""
        where = self._server.config.control_socket
        if not where or self.control is not None:
            return
        from .control import Control

        try:
            self.control = Control(self._server, where)
        except ConfigError as error:
            if where != AUTO:
                raise
            logger.warning("nobody can watch this server: %s", error)

    def close(self) -> None:
        """Ends them all; what was logged is written."""
        if self._statsd is not None:
            self._statsd.close()
        if self.metrics is not None:
            self.metrics.close()
        if self.control is not None:
            self.control.close()
        if self.log is not None:
            self.log.close()
        self._statsd = self.metrics = self.control = self.log = None
