"""Finding without importing, and drivers: named, loaded once, and told apart from what cannot be used."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pytest

import port17
from port17.errors import ConfigError, PluginError
from port17.plugins import finder, loader
from port17.plugins.doctor import examine
from port17.plugins.families import FAMILIES
from port17.plugins.loader import Registry

STORES = "port17.bottle_stores"
STORE = """
from port17 import BottleStore
class Store(BottleStore):
    def held(self, fingerprint): return None
    def write(self, entries): pass
    def remove(self, *fingerprints): pass
    def stamps(self): return iter(())
    def namings(self): return iter(())
    def named(self, name): return ()
    def bucket(self, prefix_bits, value): return ()
    def trusted(self): return iter(())
    def distrusted(self): return {}
    def successors(self): return iter(())
    def __iter__(self): return iter(())
    def __len__(self): return 0
    def __bool__(self): return False
"""


class Shelf(Protocol):
    def install(
        self, dist: str, entry_points: dict[str, dict[str, str]], version: str = "1.2.3", **modules: str
    ) -> Path: ...

    def install_raw(self, dist: str, entry_points: bytes) -> Path: ...


def store(name: str = "box", value: str = "box_store:Store") -> dict[str, dict[str, str]]:
    return {STORES: {name: value}}


def failure(registry: Registry, group: str = STORES, name: str = "box") -> PluginError:
    with pytest.raises(PluginError) as raised:
        registry.make(group, name)
    assert raised.value.exit_code == 4
    return raised.value


def assert_names(error: PluginError, *parts: str) -> None:
    for part in parts:
        assert part in error.message, error.message
    assert error.cure


def test_finding_and_listing_import_nothing(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store="raise SystemExit('imported')")
    assert finder.Found(STORES, "box", "box_store:Store", "box", "1.2.3") in finder.find(STORES)
    assert "box" in Registry().names(STORES)
    assert "box_store" not in sys.modules


def test_a_driver_is_made_though_it_counts_as_false(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store=STORE)
    registry = Registry()
    made = registry.make(STORES, "box")
    assert not made
    assert type(made).__name__ == "Store"
    assert registry.driver(STORES, "box") is type(made)


def test_a_missing_driver_names_the_one_that_was_meant(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store=STORE)
    error = failure(Registry(), name="bx")
    assert_names(error, "bottle store", "'bx'")
    assert "'box'" in error.cure
    assert "memory" in error.cure


@pytest.mark.parametrize(
    ("source", "cause", "cure"),
    [
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'", "no_such_module_at_all"),
        ("from json import no_such_name", "cannot import name 'no_such_name'", "pip install --upgrade box"),
        ("raise ValueError('bad day')", "ValueError: bad day", "author of box"),
        ("raise SystemExit('bye')", "SystemExit: bye", "author of box"),
        ("assert False, 'asserted'", "AssertionError: asserted", "author of box"),
        ("def broken(", "SyntaxError", "author of box"),
        ("Other = 1", "has no attribute 'Store'", "--force-reinstall box"),
        ("Store = 1", "it is an instance of int, not a class", "author of box"),
        ("class Store: pass", "does not derive from port17.bottles.rack.BottleStore", "author of box"),
        ("from port17 import BottleStore as Store", "BottleStore lacks __iter__", "author of box"),
        (STORE + "    name = 'crate'", "says that its name is 'crate'", "author of box"),
        (
            STORE + "    def __init__(self, config): raise KeyError('no')",
            "failed to be made",
            "author of box",
        ),
        (STORE + "    def __new__(cls): return 5", "gave an instance of int", "author of box"),
    ],
)
def test_a_broken_driver_names_package_version_cause_and_cure(
    shelf: Shelf, source: str, cause: str, cure: str
) -> None:
    shelf.install("box", store(), box_store=source)
    shelf.install("sound", store("sound", "sound_store:Store"), sound_store=STORE)
    registry = Registry()
    error = failure(registry)
    assert_names(error, "box 1.2.3", "box_store:Store", cause)
    assert cure in error.cure
    assert str(failure(registry)) == str(error), "asking again gives the same answer"
    assert registry.make(STORES, "sound") is not None, "the rest keeps working"


def test_what_failed_to_load_is_not_run_again(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store="import sys\nsys.runs = getattr(sys, 'runs', 0) + 1\n1 / 0")
    registry = Registry()
    try:
        assert failure(registry) is failure(registry)
        assert vars(sys)["runs"] == 1
    finally:
        del vars(sys)["runs"]


def test_a_module_that_is_not_there_is_the_packages_own_fault(shelf: Shelf) -> None:
    shelf.install("box", store())
    error = failure(Registry())
    assert_names(error, "box 1.2.3", "No module named 'box_store'")
    assert "--force-reinstall box" in error.cure
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_name_of_two_distributions_is_nobodys(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store=STORE)
    shelf.install("chest", store("box", "chest_store:Store"), chest_store="raise SystemExit")
    registry = Registry()
    error = failure(registry)
    assert_names(error, "box 1.2.3 (box_store:Store)", "chest 1.2.3 (chest_store:Store)", "2 times")
    assert "Uninstall all but one of: box, chest" in error.cure
    assert [problem.message for problem in registry.problems] == [error.message]
    assert "box_store" not in sys.modules
    assert registry.make(STORES, "memory") is not None


def test_an_older_version_further_down_the_path_is_not_a_second_one(shelf: Shelf) -> None:
    shelf.install("box", store("old"), version="0.9", box_store=STORE)
    shelf.install("box", store(), version="2.0", box_store=STORE)
    registry = Registry()
    assert [found.version for found in registry.found(STORES) if found.dist == "box"] == ["2.0"]
    assert registry.make(STORES, "box") is not None


@pytest.mark.parametrize("garbage", [b"[port17]\nno equals sign\n", b"[port17]\n\xff = \xfe\n"])
def test_unreadable_metadata_hides_only_its_own_distribution(shelf: Shelf, garbage: bytes) -> None:
    shelf.install_raw("mess", garbage)
    registry = Registry()
    assert registry.make(STORES, "memory") is not None
    assert_names(registry.problems[0], "metadata of mess 1.2.3")
    assert any(row.status == "unread" and "mess 1.2.3" in row.problem for row in examine(registry))


def test_a_misspelt_group_is_reported_with_the_one_meant(shelf: Shelf) -> None:
    shelf.install("box", {"port17.bottle_store": {"box": "box_store:Store"}})
    (problem,) = Registry().problems
    assert_names(problem, "box 1.2.3", "'port17.bottle_store'")
    assert f"'{STORES}'" in problem.cure


OPTIONS = """
from port17 import BottleStore, ConfigError
from pydantic import BaseModel, ConfigDict, field_validator
{store}
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int = 4
        folder: str = ""
        @field_validator("folder")
        @classmethod
        def check(cls, value):
            if value == "crash":
                raise RuntimeError("crashed while checking")
            return value
    def __init__(self, config):
        self.config = config
""".format(store=STORE.replace("from port17 import BottleStore\n", "").strip())


def test_options_reach_the_driver(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store=OPTIONS)
    made: Any = Registry().make(STORES, "box", {"size": 9})
    assert made.config.size == 9


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sise": 9}, "sise: there is no such option; did you mean size?"),
        ({"size": "wide"}, "size: Input should be a valid integer"),
    ],
)
def test_bad_options_are_the_configurations_fault(
    shelf: Shelf, options: dict[str, object], complaint: str
) -> None:
    shelf.install("box", store(), box_store=OPTIONS)
    with pytest.raises(ConfigError) as raised:
        Registry().make(STORES, "box", options)
    assert raised.value.exit_code == 3
    assert complaint in raised.value.message
    assert "box 1.2.3" in raised.value.message
    assert "folder, size" in raised.value.cure


def test_a_config_that_crashes_is_the_plugins_fault(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store=OPTIONS)
    with pytest.raises(PluginError, match="crashed while checking"):
        Registry().make(STORES, "box", {"folder": "crash"})


def test_options_for_a_driver_without_any(shelf: Shelf) -> None:
    shelf.install(
        "box", store(), box_store=STORE.replace("BottleStore):", "BottleStore):\n    Config = None")
    )
    with pytest.raises(ConfigError, match="has no options"):
        Registry().make(STORES, "box", {"size": 9})


def test_what_is_loaded_was_found_and_stevedores_cache_is_left_alone(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stevedore import _cache

    def poisoned(*_: object) -> Any:
        raise AssertionError("stevedore looked for entry points itself")

    monkeypatch.setattr(_cache, "get_group_all", poisoned)
    monkeypatch.setattr(_cache, "get_group_named", poisoned)
    shelf.install("box", store(), box_store=STORE)
    found = finder.Found(STORES, "lid", "box_store:Store", "box", "1.2.3")
    assert Registry([found]).make(STORES, "lid") is not None
    assert loader.load(found) is sys.modules["box_store"].Store


def test_the_doctor_says_of_each_plugin_whether_it_works(shelf: Shelf) -> None:
    shelf.install("box", store(), box_store="raise ValueError('bad day')")
    shelf.install("twin-a", store("twin", "a:A"))
    shelf.install("twin-b", store("twin", "b:B"))
    shelf.install("odd", {"port17.odd": {"thing": "odd:Thing"}})
    rows = {(row.group, row.name, row.dist): row for row in examine()}
    assert rows[STORES, "memory", "port17-core"].status == "ok"
    assert rows[STORES, "memory", "port17-core"].version == version("port17-core")
    assert rows[STORES, "box", "box"].status == "broken"
    assert "bad day" in rows[STORES, "box", "box"].problem
    assert rows[STORES, "box", "box"].cure
    assert rows[STORES, "twin", "twin-a"].status == "duplicate"
    assert rows[STORES, "twin", "twin-b"].status == "duplicate"
    assert rows["port17.odd", "thing", "odd"].status == "unread"


def test_every_family_has_the_contract_that_it_names() -> None:
    for family in FAMILIES.values():
        if family.contract:
            assert isinstance(family.load_contract(), type)


def test_what_is_public_can_be_imported_and_is_what_type_checkers_see() -> None:
    import ast

    source = Path(port17.__file__).read_text()
    seen = {
        alias.asname or alias.name: statement.module
        for statement in ast.walk(ast.parse(source))
        if isinstance(statement, ast.ImportFrom) and statement.module not in ("__future__", "importlib")
        for alias in statement.names
    }
    assert seen == port17._HOME_OF
    assert sorted(seen) == port17.__all__
    for name in port17.__all__:
        assert getattr(port17, name) is not None
        assert name in dir(port17)
    with pytest.raises(AttributeError):
        getattr(port17, "no_such_" + "name")


def test_importing_port17_imports_nothing_else() -> None:
    import subprocess

    heavy = "{'pydantic', 'anyio', 'pluggy', 'stevedore', 'typing', 'port17.errors'}"
    code = f"import sys, port17; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(port17.__file__).parents[1])},
    ).stdout
    assert output.strip() == "[]"
