"""dualwsgi measured against its peers, in one run, on one machine: `python -m loadtests.peers --help`.

Read in this order:

    apps.py          the WSGI applications that every server runs
    servers.py       the servers, as data: name, command line, which Python
    scenarios.py     the scenarios, as data: which servers, which traffic, which goal
    drives.py        the traffic: wrk, quick among slow, idle crowd, slowloris, upload, start-up
    wrk.py, wire.py  the two clients that drives use: wrk, and a small one over plain sockets
    rounds.py        interleaved rounds: A B C A B C ...
    stats.py         medians, spreads, paired ratios
    report.py        a table on the screen, JSON, Markdown
    reference.py     two plain 64-thread pools to compare with, and runners for servers without a command line

A server as a process tree (start, CPU, memory, threads, stop) is `dualwsgi/compare/process.py`.

This file stays empty of code: servers import it on their way to `apps`, and would pay for it at start-up.
"""
