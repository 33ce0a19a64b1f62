"""Figures in, a screen out: pure, so that a test or a screenshot is one call.

Nothing that a client sent is ever markup: every line is made of rich's Text, cell by cell.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from dualwsgi.serve.observe.snapshot import PHASES
from dualwsgi_cli.top.model import Figures
from dualwsgi_cli.top.text import plain, spell_bytes, spell_count, spell_seconds, spell_span

__all__ = ["MIN_HEIGHT", "MIN_WIDTH", "SORTS", "VIEWS", "Look", "draw", "rows"]

MIN_WIDTH, MIN_HEIGHT = 80, 24

VIEWS: Final = ("requests", "routes", "workers", "log")
SORTS: Final = {
    "requests": ("age", "newest", "slowest"),
    "routes": ("count", "rps", "p95", "errors"),
    "workers": ("pid", "cpu", "rss"),
    "log": ("time",),
}

LAG_BAD: Final = 0.5
"""Seconds."""

BARS: Final = "▁▂▃▄▅▆▇█"
PLAIN_BARS: Final = ".:-=+*#@"

HELP: Final = (
    ("1 2 3 4, Tab", "requests, routes, workers, log"),
    ("Up Down, j k", "select a line"),
    ("Enter", "of a request in flight: its stack, where it is right now"),
    ("", "of one that has ended, and of a route: where its time went"),
    ("m", "measure the phases of all requests, or of a sample again"),
    ("Esc", "back"),
    ("o", "sort by the next column"),
    ("/", "filter lines by a text; Esc drops the filter"),
    ("p, Space", "pause the picture; the server goes on"),
    ("+ -, w W", "one call at once, one worker process: more, or fewer"),
    ("r, d", "reload; drain: stop once all requests have ended (asks first)"),
    ("q, Ctrl-L", "leave; draw the whole screen anew"),
    ("busy, idle", "calls that run, of how many may; threads, greenlets without one"),
    ("queue, wait", "requests that wait for a call; how long (p95) others had to"),
    ("refused, gone", "answered 503 for want of a call; clients that left too early"),
    ("5xx 70 +4", "70 since the start, 4 in the last ten seconds, as P50 and RPS are"),
    ("died", "workers that ended though nobody had told them to"),
    ("lag", "how late the server's own chores came: a call holds the loop"),
)


@dataclass
class Look:
    """What whoever looks has chosen, and what they are told."""

    view: str = "requests"
    sort: dict[str, int] = field(default_factory=dict)
    selected: int = 0
    anchor: str | None = None  # the selected request, which may move in the list
    filter: str = ""
    editing: bool = False  # the filter is being typed
    paused: bool = False
    help: bool = False
    stack: list[dict[str, Any]] | None = None
    stack_of: str = ""  # the id of its request
    stack_top: int = 0
    detail: str | dict[str, Any] | None = None  # a route by its name, or a request that has ended
    asked: str = ""  # "drain" or "reload", until y or n
    message: str = ""
    log: list[str] = field(default_factory=list)
    owned: bool = False  # the server is our child, and leaves with us
    unicode: bool = True

    def sorted_by(self) -> str:
        names = SORTS[self.view]
        return names[self.sort.get(self.view, 0) % len(names)]


@dataclass
class Row:
    text: Text
    request: str | None = None  # the id of a request in flight
    past: dict[str, Any] | None = None  # a request that has ended
    route: str | None = None

    @property
    def key(self) -> str | None:
        """By which the row is known when it has moved in the list."""
        if self.past is not None:
            return f"{self.past['pid']} {self.past['ended']}"
        return self.request or self.route


def draw(figures: Figures | None, look: Look, width: int, height: int) -> list[Text]:
    """`height` lines of `width` cells."""
    if width < 40 or height < 10:
        return _fit([Text("the terminal is too small")], width, height)
    if figures is None:
        return _fit([Text("waiting for the server ...")], width, height)
    head = _head(figures, look, width)
    foot = [_foot(look, width)]
    room = height - len(head) - len(foot)
    if look.help:
        body = [Text(f" {keys:14}{what}") for keys, what in HELP]
    elif look.stack is not None:
        body = _stack(look, width, room)
    elif look.detail is not None:
        body = _detail(figures, look, width)
    else:
        body = _table(figures, look, width, room)
    return _fit(_fit(head + body, width, height - len(foot)) + foot, width, height)


def _fit(lines: list[Text], width: int, height: int) -> list[Text]:
    lines = lines[:height] + [Text() for _ in range(height - len(lines))]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, pad=True)
    return lines


# The head


def _head(figures: Figures, look: Look, width: int) -> list[Text]:
    snapshot = figures.snapshot
    workers = snapshot["workers"]
    state = "paused" if look.paused else "draining" if snapshot["draining"] else "serving"
    uptime = max((worker["uptime"] for worker in workers), default=0.0)
    many = f"{len(workers)} worker{'s' if len(workers) != 1 else ''}"
    if figures.died:
        many += f", {_count(figures, 'died', figures.died)} died"
    right = f" {many}  up {spell_span(uptime)}  {state} "
    left = f" dualwsgi {snapshot['version']}  {snapshot['backend']}  {' '.join(snapshot['addresses'])}"
    if cell_len(left) > width - cell_len(right):  # where it is matters more
        left = f" {snapshot['backend']}  {' '.join(snapshot['addresses'])}"
    title = Text(set_cell_size(left, max(0, width - cell_len(right))) + right, style="reverse")

    busy, limit = _sum(workers, "busy"), _sum(workers, "limit")
    lag = max((worker["lag"] for worker in workers), default=0.0)
    queued = _sum(workers, "queued")
    trouble = {"busy": busy >= limit > 0, "queue": queued > 0, "lag": lag > LAG_BAD}
    cpu = sum(row.cpu for row in figures.workers)
    classes = figures.classes
    lines = [
        title,
        _line(
            width,
            _COUNTS,
            ("requests", f"{snapshot['totals']['requests']:,}"),
            ("rps", spell_count(figures.rate)),
            ("p50", spell_seconds(figures.p50)),
            ("p95", spell_seconds(figures.p95)),
            ("p99", spell_seconds(figures.p99)),
            ("sent", f"{spell_bytes(figures.sent)}/s"),
        ),
        _line(
            width,
            _CLASSES,
            ("2xx", spell_count(classes["2xx"])),
            ("3xx", spell_count(classes["3xx"])),
            ("4xx", spell_count(classes["4xx"])),
            ("5xx", _count(figures, "5xx", classes["5xx"])),
            ("refused", _count(figures, "refused", snapshot["totals"]["refused"])),
            ("gone", _count(figures, "gone", snapshot["totals"]["gone"])),
            bad={name for name in ("5xx", "refused") if figures.fresh[name]},
        ),
        _line(
            width,
            _STATE,
            ("busy", f"{busy}/{limit}"),
            ("idle", f"{_sum(workers, 'idle')}"),
            ("queue", f"{queued}"),
            ("wait", spell_seconds(figures.wait)),
            ("conns", f"{_sum(workers, 'connections')}"),
            ("lag", spell_seconds(lag)),
            ("cpu", f"{100 * cpu:.0f}%"),
            ("rss", spell_bytes(_sum(workers, "rss_bytes"))),
            bad={name for name, is_bad in trouble.items() if is_bad},
        ),
    ]
    half = (width - 1) // 2
    lines.append(
        Text.assemble(
            _spark("rps", figures.rates, figures.seconds, spell_count, half, look.unicode),
            " ",
            _spark("p95", figures.slow, figures.seconds, spell_seconds, half, look.unicode),
        )
    )
    return lines


def _sum(workers: list[dict[str, Any]], name: str) -> int:
    return int(sum(worker[name] for worker in workers))


def _count(figures: Figures, name: str, count: int) -> str:
    """How many in all, and how many of them of late."""
    fresh = figures.fresh[name]
    return f"{spell_count(count)} +{spell_count(fresh)}" if fresh else spell_count(count)


# Cells that a name and its figure take, so that nothing moves when a figure grows; at 80 cells.
_COUNTS: Final = (18, 11, 11, 11, 12, 15)
_CLASSES: Final = (11, 11, 11, 16, 20, 9)
_STATE: Final = (12, 8, 8, 11, 10, 11, 8, 11)


def _line(
    width: int, places: tuple[int, ...], *pairs: tuple[str, str], bad: Collection[str] = frozenset()
) -> Text:
    more = max(0, min(6, (width - 1 - sum(places)) // len(places)))
    line = Text(" ")
    for (name, value), room in zip(pairs, places, strict=True):
        line.append(f"{name} ", style="dim")
        line.append(value, style="bold red" if name in bad else "bold")
        line.append(" " * max(1, room + more - len(name) - 1 - len(value)))
    return line


def _spark(name: str, values: list[float], seen: int, spell: Any, width: int, unicode: bool) -> Text:
    """All values, several to a cell where they are more than cells: the most of them, so no peak is lost."""
    most = max(values, default=0.0)
    label, peak = f" {name} ", f" max {spell(most):6}"
    room = max(1, width - len(label) - len(peak))
    # Which values share a cell hangs on when they came: a cell, once drawn, moves but does not change.
    step = -(-len(values) // room)
    cells = []
    if values:
        first = seen - len(values)
        begins = [0, *(at for at in range(1, len(values)) if (first + at) % step == 0)]
        cells = [max(values[at:end]) for at, end in zip(begins, [*begins[1:], len(values)], strict=True)]
    bars = BARS if unicode else PLAIN_BARS
    drawn = "".join(
        bars[min(len(bars) - 1, int(value / most * len(bars)))] if most > 0 else bars[0]
        for value in cells[-room:]
    )
    return Text.assemble((label, "dim"), (drawn.rjust(room), "cyan"), (peak, "dim"))


# The tables


def _table(figures: Figures, look: Look, width: int, room: int) -> list[Text]:
    found = rows(figures, look)
    places = [row.key for row in found]
    if look.anchor is not None and look.anchor in places:
        look.selected = places.index(look.anchor)
    look.selected = max(0, min(look.selected, len(found) - 1))
    look.anchor = places[look.selected] if found else None
    tabs = Text(" ")
    for number, name in enumerate(VIEWS, 1):
        tabs.append(f"{number} {name}", style="bold underline" if name == look.view else "dim")
        tabs.append("   ")
    tabs.append(f"by {look.sorted_by()}", style="dim")
    if look.filter or look.editing:
        tabs.append(f"   /{plain(look.filter)}{'_' if look.editing else ''}", style="bold")
    lines = [tabs, _heading(look.view, width)]
    space = max(1, room - len(lines))
    if look.view == "log":  # the newest at the foot, and so many lines up from there
        look.selected = max(0, min(look.selected, len(found) - space))
        end = len(found) - look.selected
        return [*lines, *(row.text for row in found[max(0, end - space) : end])]
    top = max(0, min(look.selected - space // 2, len(found) - space))
    for number, row in enumerate(found[top : top + space], top):
        if number == look.selected:
            row.text.truncate(width, pad=True)
            row.text.stylize("reverse")
        lines.append(row.text)
    if not found:
        lines.append(Text("   nothing here" + (" that the filter lets pass" if look.filter else ""), "dim"))
    return lines


def _heading(view: str, width: int) -> Text:
    if view == "requests":
        text = f" {'PHASE':9}{'TIME':>8} {'STATUS':>6} {'PEER':16} REQUEST"
    elif view == "routes":
        text = f" {'COUNT':>9}{'RPS':>8}{'P50':>8}{'P95':>8}{'P99':>8}{'5XX':>6}  ROUTE"
    elif view == "workers":
        text = (
            f" {'PID':>8} {'BACKEND':8}{'BUSY':>10}{'IDLE':>6}{'QUEUE':>6}"
            f"{'CONNS':>7}{'RPS':>8}{'LAG':>8}{'CPU':>6}{'RSS':>9}"
        )
    else:
        text = " what the server and the application have printed"
    return Text(set_cell_size(text, width), style="dim underline")


def rows(figures: Figures, look: Look) -> list[Row]:
    """The lines of the present view, filtered and sorted."""
    make = {"requests": _requests, "routes": _routes, "workers": _workers, "log": _log}[look.view]
    found = make(figures, look)
    if look.filter:
        wanted = look.filter.lower()
        found = [row for row in found if wanted in row.text.plain.lower()]
    return found


def _requests(figures: Figures, look: Look) -> list[Row]:
    snapshot, order = figures.snapshot, look.sorted_by()
    found = []
    for one in snapshot["in_flight"]:
        style = "bold red" if one["age"] > 10 else "bold yellow" if one["age"] > 1 else "bold"
        found.append(Row(_request(one["phase"], one["age"], "", one, style), one["id"]))
    past = snapshot["slowest"] if order == "slowest" else snapshot["recent"]
    past = sorted(past, key=lambda one: -one["seconds" if order == "slowest" else "ended"])
    done = []
    for one in past:
        style = "red" if one["status"] >= 500 else "yellow" if one["status"] >= 400 else ""
        done.append(Row(_request("done", one["seconds"], str(one["status"]), one, style), past=one))
    if order == "newest":
        found.reverse()  # they come oldest first
    return found + done


def _request(phase: str, seconds: float, status: str, one: dict[str, Any], style: str) -> Text:
    peer = set_cell_size(plain(one["peer"]), 16)
    text = f" {phase:9}{spell_seconds(seconds):>8} {status:>6} {peer} "
    return Text.assemble((text, style), plain(f"{one['method']} {one['target']}"))


def _routes(figures: Figures, look: Look) -> list[Row]:
    key = {
        "count": lambda row: row.count,
        "rps": lambda row: row.rate,
        "p95": lambda row: row.p95,
        "errors": lambda row: row.errors,
    }[look.sorted_by()]
    return [
        Row(
            Text(
                f" {row.count:>9,}{spell_count(row.rate):>8}{spell_seconds(row.p50):>8}"
                f"{spell_seconds(row.p95):>8}{spell_seconds(row.p99):>8}{row.errors:>6}  {plain(row.name)}",
                "red" if row.failing else "",
            ),
            route=row.name,
        )
        for row in sorted(figures.routes, key=key, reverse=True)
    ]


def _workers(figures: Figures, look: Look) -> list[Row]:
    key = {
        "pid": lambda row: row.snapshot["pid"],
        "cpu": lambda row: -row.cpu,
        "rss": lambda row: -row.snapshot["rss_bytes"],
    }[look.sorted_by()]
    found = []
    for row in sorted(figures.workers, key=key):
        one = row.snapshot
        busy = f"{one['busy']}/{one['limit']}"
        text = (
            f" {one['pid']:>8} {one['backend']:8}{busy:>10}{one['idle']:>6}{one['queued']:>6}"
            f"{one['connections']:>7}{spell_count(row.rate):>8}{spell_seconds(one['lag']):>8}"
            f"{f'{100 * row.cpu:.0f}%':>6}{spell_bytes(one['rss_bytes']):>9}"
        )
        found.append(Row(Text(text + ("  draining" if one["draining"] else ""))))
    return found


def _log(figures: Figures, look: Look) -> list[Row]:
    if not look.owned:
        return [Row(Text(" the server prints to where it was started", "dim"))]
    return [Row(Text(" " + plain(line))) for line in look.log]


def _stack(look: Look, width: int, room: int) -> list[Text]:
    lines = []
    for stack in look.stack or ():
        of = f"greenlet {stack['greenlet']:#x}" if stack["greenlet"] else f"thread {stack['thread']:#x}"
        lines.append(Text(f" {plain(stack['what'])}   {of}", style="bold"))
        # The innermost call first: that is where it is stuck.
        for frame in reversed(stack["frames"]):
            function, place = plain(frame["function"]), f"{plain(frame['file'])}:{frame['line']}"
            left = width - cell_len(function) - 6
            if len(place) > left > 3:
                place = f"...{place[3 - left :]}"  # its end is what tells
            lines.append(Text(f"   {function}  {place}"))
            if frame["code"]:
                lines.append(Text(f"       {plain(frame['code'])}", style="cyan"))
    if not lines:
        lines = [Text(" the request has ended", style="dim")]
    look.stack_top = max(0, min(look.stack_top, len(lines) - 1))
    return lines[look.stack_top : look.stack_top + room]


def _detail(figures: Figures, look: Look, width: int) -> list[Text]:
    """Where the time of a route's requests went, or of one that has ended."""
    one, many = look.detail, ""
    phases: dict[str, Any] | None
    if isinstance(one, dict):
        title, phases = f"{one['method']} {one['target']}", one.get("phases")
        took, size = spell_seconds(one["seconds"]), spell_bytes(one["size"])
        said = f"{one['status']} for {one['peer']} in {took}, {size} of content"
    else:
        row = next((row for row in figures.routes if row.name == one), None)
        if row is None:
            return [Text(" this route is no longer among those that are told", style="dim")]
        title, phases = row.name, row.phases
        tail = f"p50 {spell_seconds(row.p50)}, p95 {spell_seconds(row.p95)}, p99 {spell_seconds(row.p99)}"
        said = f"{row.count:,} requests, {row.errors:,} of them 5xx, {tail}"
        if phases is not None:
            many = f" the mean of {phases['clocked']:,.0f} requests that were measured since the start"
    lines = [Text(f" {plain(title)}", style="bold"), Text(f" {plain(said)}"), Text()]
    if phases is None:
        mode = figures.snapshot.get("phase_clock", "off")
        return [*lines, Text(f" its phases were not measured (phase clock: {mode}); m measures all", "dim")]
    return [*lines, *_shares(phases, width, "█" if look.unicode else "#"), Text(), Text(many, "dim")]


def _shares(phases: dict[str, Any], width: int, bar: str) -> list[Text]:
    heading = f" {'PHASE':12}{'TIME':>8}{'SHARE':>7}  "
    room = max(10, width - cell_len(heading) - 2)
    lines = [Text(set_cell_size(heading, width), style="dim underline")]
    whole = sum(phases[name] for name in PHASES)
    for name, what in _PHASES.items():
        share = phases[name] / whole if whole else 0.0
        drawn = Text(f" {name:12}{spell_seconds(phases[name]):>8}{100 * share:>6.0f}%  ")
        lines.append(drawn.append(bar * round(share * room), "cyan"))
        lines.append(Text(f"   {what}", style="dim"))
    cpu = "-" if phases["cpu"] is None else spell_seconds(phases["cpu"])
    for name, told, what in (
        ("first byte", spell_seconds(phases["first_byte"]), "since the request was whole"),
        ("CPU", cpu, "in the application"),
    ):
        lines.append(Text.assemble(f" {name:12}{told:>8}", (f"   {what}", "dim")))
    return lines


_PHASES: Final = {
    "head": "until the head was whole, from its first byte",
    "body": "until a small body was whole, which is waited for before the call",
    "queued": "until the application was called",
    "application": "in its call, and in the iterator that it returned",
    "sending": "all the rest, above all waiting for the client to read",
}


def _foot(look: Look, width: int) -> Text:
    if look.asked:
        verb = "drain and stop the server" if look.asked == "drain" else "reload the application"
        return Text(set_cell_size(f" {verb}?  y yes  n no", width), style="bold reverse")
    if look.message:
        return Text(set_cell_size(f" {plain(look.message)}", width), style="bold reverse")
    if look.editing:
        keys = "type what lines must hold   Enter keep   Esc drop"
    elif look.help:
        keys = "Esc back"
    elif look.detail is not None:
        keys = "m measure all or a sample   Esc back   q quit"
    elif look.stack is not None:
        keys = "Enter look again   Up Down scroll   Esc back   q quit"
    else:
        keys = _keys(look, width - 2)
    return Text(set_cell_size(f" {keys}", width), style="reverse")


def _keys(look: Look, room: int) -> str:
    """As many keys as there is room for; how to leave and where the others are told is always among them."""
    leave = "q stop and quit" if look.owned else "q quit"
    shown = "? help"
    for key in (
        *("Tab view", "Enter detail", "o sort", "/ filter", "p pause", "d drain", "+ - calls"),
        *("r reload", "w W workers"),
    ):
        if len(f"{shown}  {key}  {leave}") > room:
            break
        shown += f"  {key}"
    return f"{shown}  {leave}"
