"""What an application uses of eventlet, what of it works where, and what to change.

    report = examine("hello:app")
    for finding in report.findings: print(finding)

    tracing.py    from a target to the modules that it imports, in the order in which they would run
    reading.py    one module's syntax tree, as uses: which names of eventlet it touches, and how
    knowledge.py  the law: what of eventlet works on which way, and the cure where it does not
    report.py     findings and verdicts

Nothing of the application is run: its source is read.  So what is only decided at run time (a name
made by getattr, a module whose name is computed) is not seen.
"""

from .knowledge import WAYS, Level
from .report import Finding, Patch, Report
from .tracing import NoSuchTarget, examine

__all__ = ["WAYS", "Finding", "Level", "NoSuchTarget", "Patch", "Report", "examine"]
