"""Route policies from a user's own file: ``./eu_only.py:EuOnly``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from port17.errors import PluginError
from port17.plugins import faults


def is_local(spec: str) -> bool:
    """Whether a configured policy is a file and a class, not a driver's name."""
    return spec.rpartition(":")[0].endswith(".py")


def load_local(spec: str, folder: Path) -> object:
    """What a file calls by the name after the colon.

    :param spec: ``FILE.py:NAME``.
    :param folder: what a relative file is relative to: the configuration file's folder.
    :raises PluginError: the file cannot be read or run, or has no such name.
    """
    file, _, name = spec.rpartition(":")
    path = (folder / Path(file).expanduser()).resolve()
    if not path.is_file():
        raise PluginError(f"policy {spec}: there is no file {path}", cure="Paths start at the configuration.")
    module = _run(path)
    if not hasattr(module, name):
        raise PluginError(f"policy {spec}: {path} has no {name!r}", cure="After the colon stands the class.")
    return getattr(module, name)


def _run(path: Path) -> ModuleType:
    # Named by its place, so that two files of one name don't meet; in sys.modules, as dataclasses need.
    module_name = f"port17_local_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file", cure="A policy's file ends in .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise PluginError(
            f"the policy file {path} cannot be loaded: {faults.said(error)}", cure="Mend the file."
        ) from error
    return module
