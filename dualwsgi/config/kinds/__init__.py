"""The kinds of knob, by what they hold."""

from .knob import Knob, knob
from .lists import Binds, FileNames, Fleet, Networks, Several, SomeOf
from .numbers import DAY, GIB, KIB, Count, Seconds, Size
from .places import FileName, Hook, LogTarget, Mask, Permissions, SocketPath
from .words import Choice, FieldValue, Switch, Text, UrlPath

__all__ = [
    "DAY",
    "GIB",
    "KIB",
    "Binds",
    "Choice",
    "Count",
    "FieldValue",
    "FileName",
    "FileNames",
    "Fleet",
    "Hook",
    "Knob",
    "LogTarget",
    "Mask",
    "Networks",
    "Permissions",
    "Seconds",
    "Several",
    "Size",
    "SocketPath",
    "SomeOf",
    "Switch",
    "Text",
    "UrlPath",
    "knob",
]
