import importlib

from ..beside import application

lazily = importlib.import_module("package.lazy")
