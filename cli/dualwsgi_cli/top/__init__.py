"""The dashboard.  It is a process of its own, on the control socket, whatever it watches.

text.py    numbers and foreign text as they may be shown
model.py   snapshots in, figures out: rates, windows, series; pure
screen.py  figures in, a screen out; pure
keys.py    the terminal: raw keys, its size, and its restoration
feed.py    snapshots of one server or many, in a thread each
loop.py    all of these together, until somebody leaves
"""
