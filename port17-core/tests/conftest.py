"""What several test files of the core need."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest


class Shelf:
    """Throw-away distributions, installed for one test: metadata and modules in a folder on ``sys.path``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def install(
        self,
        dist: str,
        entry_points: Mapping[str, Mapping[str, str]],
        version: str = "1.2.3",
        **modules: str,
    ) -> Path:
        """Install a distribution.

        :param entry_points: per group, name to value.
        :param modules: source by module name.
        :returns: its folder.
        """
        lines: list[str] = []
        for group, points in entry_points.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
        return self.install_raw(dist, "\n".join(lines).encode(), version, **modules)

    def install_raw(self, dist: str, entry_points: bytes, version: str = "1.2.3", **modules: str) -> Path:
        """Install a distribution with any bytes for entry points."""
        folder = self._folder / f"{dist}-{version}"
        info = folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_bytes(entry_points)
        for module, source in modules.items():
            (folder / f"{module}.py").write_text(source)
        self._monkeypatch.syspath_prepend(str(folder))
        return folder


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """See :class:`Shelf`. What a test imports from there is forgotten afterwards."""
    before = set(sys.modules)
    yield Shelf(tmp_path / "shelf", monkeypatch)
    for name in set(sys.modules) - before:
        origin = getattr(sys.modules[name], "__file__", None)
        if origin and Path(origin).is_relative_to(tmp_path):
            del sys.modules[name]
