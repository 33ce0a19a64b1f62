"""Two servers under the same traffic: what `dualwsgi compare` measures, and what it makes of it.

Read in this order:

    traffic.py   what is sent, and what a load generator says of it
    locust.py    a generator: locust, in a process of its own; driver.py is what runs in there
    wrk.py       a generator: wrk
    process.py   a server as a tree of processes: start, CPU, memory, context switches, stop
    answers.py   whether both sides answer alike
    rounds.py    fresh processes, warm-up, alternating rounds
    paired.py    confidence intervals of paired rounds; pure
    verdict.py   which differences exceed the noise, who was the limit, what to choose; pure
    report.py    JSON and CSV; html.py, plot.py: a page that stands alone

Linux only: costs are read from /proc. The servers are child processes that run the ordinary command, so
nothing here knows how serving is done, and nothing of it is ever imported by a server.
"""
