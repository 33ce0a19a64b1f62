"""Numbers and foreign text as they may be shown on a terminal."""

from __future__ import annotations

from typing import Any

__all__ = ["plain", "spell_bytes", "spell_count", "spell_seconds", "spell_span", "tell_phases"]


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey: controls, escapes, and what turns writing round."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else f"\\x{ord(one):02x}" if ord(one) < 256 else f"\\u{ord(one):04x}"
        for one in text
    )


def spell_seconds(seconds: float) -> str:
    """A length of time in three digits: 950us, 1.25ms, 12.0s; as wide from one frame to the next."""
    if seconds <= 0:
        return "0"
    for unit, size in (("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        value = seconds / size
        if value < 999.5 or unit == "s":
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f}{unit}"
    return ""  # not reached


def spell_span(seconds: float) -> str:
    """How long something has been running: 0:01:23, 3d 04:05."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d {hour:02}:{minute:02}" if days else f"{hour}:{minute:02}:{second:02}"


def spell_count(count: float) -> str:
    """A number in at most six characters: 9, 12,345, 1.23M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e5)):
        if count >= size:
            return f"{count / (1e3 if unit == 'k' else size):.3g}{unit}"
    return f"{count:,.0f}" if count >= 10 or count == int(count) else f"{count:.1f}"


def spell_bytes(count: float) -> str:
    """Octets in powers of 1024: 900 B, 12.3 MB."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size:
            value = count / size
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{count:.0f} B"


def tell_phases(phases: dict[str, Any]) -> str:
    """Where the time of requests goes, of a snapshot's histograms; "" if none was watched."""
    from dualwsgi.serve.observe.snapshot import PHASES  # late: `dualwsgi --help` needs none of it

    watched = phases["application"]["count"]
    whole = sum(phases[name]["seconds"] for name in PHASES)
    if not watched or not whole:
        return ""
    shares = {name: phases[name]["seconds"] / whole for name in PHASES}
    told = (f"{name} {100 * share:.0f}%" for name, share in shares.items() if share >= 0.005)
    return f"{', '.join(told)} (of {spell_count(watched)} requests that were watched)"
