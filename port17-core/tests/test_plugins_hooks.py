"""Hooks: who is refused at registration and why, policies from configuration, and judgements of many."""

from __future__ import annotations

import inspect
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pluggy
import pytest

from port17 import hookspecs
from port17.bottles.verdict import ACCEPT, Ruling, Verdict, distrust, reject, together
from port17.errors import ConfigError, PluginError
from port17.hookspecs import hookimpl
from port17.navigator.chart import ChartNode, Lane
from port17.navigator.policy import USUAL_SPREAD, Judgement, Kin, Objection, Policies, Request, Spread
from port17.plugins import panel as panel_module
from port17.plugins.board import HookBoard
from port17.plugins.doctor import examine
from port17.plugins.loader import Registry
from port17.plugins.panel import Panel
from port17.records.bottle import Bottle
from port17.wire.suite import CipherSuite

HEAD = "from port17 import ACCEPT, ChartNode, RoutePolicy, distrust, hookimpl, reject\n"
NODE = ChartNode(fingerprint=bytes(32), node_id="aaaa", name="alice", group="a")
OTHER = ChartNode(fingerprint=bytes([1]) * 32, node_id="baaa", name="bob", group="b")
REQUEST = Request("example.com", 443)


class Shelf(Protocol):
    def install(
        self, dist: str, entry_points: dict[str, dict[str, str]], version: str = "1.2.3", **modules: str
    ) -> Path: ...


def hook_plugin(shelf: Shelf, source: str, dist: str = "views", name: str = "views") -> None:
    module = dist.replace("-", "_")
    shelf.install(dist, {"port17": {name: module}}, **{module: HEAD + source})


def policy(shelf: Shelf, source: str, name: str = "views") -> None:
    body = f"class P(RoutePolicy):\n{source}"
    shelf.install("views", {"port17.policies": {name: "views:P"}}, views=HEAD + body)


def objections(judgement: Judgement) -> list[tuple[str, str]]:
    return [(objection.by, objection.reason) for objection in judgement.objections]


def problem(registry: Registry) -> str:
    assert registry.hooks is not None
    (only,) = registry.problems
    assert only.cure
    return only.message


def test_a_hook_plugin_is_asked(shelf: Shelf) -> None:
    hook_plugin(shelf, "@hookimpl\ndef exclude_node(node):\n    return f'not {node.name}'\n")
    registry = Registry()
    assert registry.hooks.exclude_node(node=NODE, position="middle", level="normal", request=REQUEST) == [
        "not alice"
    ]
    assert objections(registry.panel.judge_node(NODE, "middle", "normal")) == [("views", "not alice")]
    assert registry.problems == []


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("@hookimpl\nasync def exclude_node(node): return None", "exclude_node is async"),
        ("@hookimpl\ndef exclude_node(node): yield None", "exclude_node is a generator"),
        ("@hookimpl\nasync def exclude_node(node): yield None", "exclude_node is async"),
        (
            "@hookimpl\ndef exclude_nodes(node): return None",
            "no hook 'exclude_nodes' (did its author mean 'exc",
        ),
        ("def exclude_node(node): return None", "exclude_node is not marked @hookimpl"),
        ("@hookimpl\ndef exclude_node(nod): return None", "an argument 'nod' (did its author mean 'node'?)"),
        ("@hookimpl\ndef exclude_exit(node, request=None): return None", "gives 'request' a default"),
        ("@hookimpl\ndef exclude_exit(*node): return None", "takes 'node' in a way"),
        ("@hookimpl(wrapper=True)\ndef validate_bottle(bottle):\n    yield\n    return []", "hook wrapper"),
        ("@hookimpl(hookwrapper=True)\ndef exclude_node(node):\n    yield", "hook wrapper"),
        ("", "it implements no hook"),
        (
            "import functools\ndef slow(f):\n    @functools.wraps(f)\n    def inner(*a): return f(*a)\n"
            "    return inner\n@hookimpl\n@slow\nasync def exclude_node(node): return None",
            "exclude_node is async",
        ),
    ],
)
def test_a_hook_plugin_that_cannot_be_used_is_left_out_and_named(
    shelf: Shelf, source: str, cause: str
) -> None:
    hook_plugin(shelf, source)
    hook_plugin(shelf, "@hookimpl\ndef exclude_node(node):\n    return 'sound'\n", "sound", "sound")
    registry = Registry()
    message = problem(registry)
    assert cause in message
    assert "hook plugin 'views' of views 1.2.3 (views)" in message
    assert registry.hooks.exclude_node(node=NODE, position="middle", level="normal", request=REQUEST) == [
        "sound"
    ], "the rest keeps working"
    assert [row.status for row in examine(Registry()) if row.name == "views"] == ["broken"]


def test_two_hook_plugins_of_one_name_are_both_asked_and_reported(shelf: Shelf) -> None:
    hook_plugin(shelf, "@hookimpl\ndef exclude_node(node):\n    return 'one'\n", "first")
    hook_plugin(shelf, "@hookimpl\ndef exclude_node(node):\n    return 'two'\n", "second")
    registry = Registry()
    assert sorted(objections(registry.panel.judge_node(NODE, "middle", "normal"))) == [
        ("views@first", "one"),
        ("views@second", "two"),
    ]
    message = problem(registry)
    assert "first 1.2.3" in message
    assert "second 1.2.3" in message


def test_a_blocked_name_is_left_out_and_named(shelf: Shelf) -> None:
    hook_plugin(shelf, "@hookimpl\ndef exclude_node(node):\n    return 'no'\n")
    registry = Registry(blocked=["views"])
    assert "'views' of views 1.2.3" in problem(registry)
    assert "is blocked" in problem(registry)
    assert registry.panel.judge_node(NODE, "middle", "normal") == Judgement()


def test_a_class_is_made_and_counts_though_it_is_false(shelf: Shelf) -> None:
    source = "class V(list):\n    @hookimpl\n    def exclude_node(self, node): return 'no'"
    shelf.install("views", {"port17": {"views": "views:V"}}, views=HEAD + source)
    assert objections(Registry().panel.judge_node(NODE, "middle", "normal")) == [("views", "no")]


def test_registering_twice_leaves_the_board_as_it_was() -> None:
    class Plugin:
        @hookimpl
        def exclude_node(self, node: ChartNode) -> str | None:
            return "no"

    board, plugin = HookBoard(), Plugin()
    board.register(plugin, "port17", "one", "plugin one", "one")
    for again in (plugin, Plugin()):
        with pytest.raises(PluginError, match="registered already"):
            board.register(again, "port17", "one", "plugin one", "one")
    assert board.hooks.exclude_node(node=NODE, position="middle", level="normal", request=REQUEST) == ["no"]


def test_one_that_fails_or_talks_nonsense_objects_and_the_others_are_heard(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for dist, answer in {
        "crash": "raise RuntimeError('bad day')",
        "false": "return False",
        "empty": "return ''",
        "none": "return None",
        "plain": "return 'no'",
    }.items():
        hook_plugin(shelf, f"@hookimpl\ndef exclude_node(node):\n    {answer}\n", f"{dist}_views", dist)
    assert sorted(objections(Registry().panel.judge_node(NODE, "middle", "normal"))) == [
        ("crash", "it failed with RuntimeError: bad day"),
        ("empty", ""),
        ("false", "it answered False instead of a reason or None"),
        ("plain", "no"),
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("-1", "-1 instead of exit_cost of 0 or more microseconds"),
        ("float('nan')", "nan instead of"),
        ("float('inf')", "inf instead of"),
        ("True", "True instead of"),
        ("'much'", "a str instead of"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_cost_that_is_none_objects(shelf: Shelf, answer: str, said: str) -> None:
    hook_plugin(shelf, f"@hookimpl\ndef exit_cost(node, request):\n    return {answer}\n")
    ((by, reason),) = objections(Registry().panel.judge_exit(NODE, REQUEST))
    assert by == "views"
    assert said in reason


def test_costs_add_up(shelf: Shelf) -> None:
    for dist, cost in {"one": 10, "two": 2.5}.items():
        hook_plugin(shelf, f"@hookimpl\ndef lane_cost(source, lane):\n    return {cost}\n", dist, dist)
    assert Registry().panel.judge_lane(NODE, OTHER, Lane()) == Judgement((), 12.5)


def test_any_reject_wins_and_a_crash_is_one(shelf: Shelf) -> None:
    def installed(**answers: str) -> None:
        for dist, answer in answers.items():
            hook_plugin(shelf, f"@hookimpl\ndef validate_bottle(bottle):\n    {answer}\n", dist, dist)

    def judged() -> Verdict:
        # The core's own validator wants a real bottle; these look at none.
        bottle: Bottle = object()  # type: ignore[assignment]
        return Registry(blocked=["basic"]).judge_bottle(bottle)

    installed(fine="return ACCEPT", silent="return None")
    assert judged() == ACCEPT
    installed(doubt="return distrust('odd')")
    assert judged() == distrust("doubt: odd")
    installed(hard="return reject('bad')", crash="raise KeyError('oh')", wrong="return True")
    verdict = judged()
    assert verdict.ruling is Ruling.REJECT
    assert sorted(verdict.reasons) == [
        "crash: it failed with KeyError: 'oh'",
        "hard: bad",
        "wrong: it answered True instead of a verdict",
    ]


def test_verdicts_together() -> None:
    assert together([]) == ACCEPT
    assert together([distrust("a"), ACCEPT, distrust("b")]).reasons == ("a", "b")
    assert together([reject("a"), distrust("b")]) == reject("a")


def test_a_policy_is_picked_by_name_with_its_options(shelf: Shelf) -> None:
    policy(
        shelf,
        "    class Config(RoutePolicy.Config):\n        name: str\n    config: Config\n"
        "    @hookimpl\n    def exclude_node(self, node):\n"
        "        return 'not asked for' if node.name != self.config.name else None\n",
    )
    panel: Policies = Registry().policies(["views"], {"views": {"name": "alice"}})
    assert panel.judge_node(NODE, "middle", "normal") == Judgement()
    assert panel.judge_node(OTHER, "middle", "normal") == Judgement((Objection("views", "not asked for"),))
    unused = Registry()
    assert unused.policies([]).judge_node(OTHER, "middle", "normal") == Judgement()
    with pytest.raises(ConfigError, match="name: Field required"):
        Registry().policies(["views"])


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("    @hookimpl\n    async def veto_route(self, route): return 'no'", "veto_route is async"),
        ("    @hookimpl\n    def veto_rout(self, route): return 'no'", "'veto_route'"),
        ("    def veto_route(self, route): return 'no'", "not marked @hookimpl"),
        ("    @hookimpl\n    def veto_route(self, rout): return 'no'", "'route'"),
        ("    pass", "implements no hook"),
    ],
)
def test_a_configured_policy_that_cannot_be_used_stops_the_client(
    shelf: Shelf, source: str, cause: str
) -> None:
    policy(shelf, source)
    with pytest.raises(PluginError, match=r"route policy 'views' of views 1\.2\.3") as raised:
        Registry().policies(["views"])
    assert cause in raised.value.message
    assert [row.status for row in examine(Registry()) if row.name == "views"] == ["broken"]


def test_policies_named_wrongly(shelf: Shelf) -> None:
    policy(shelf, "    @hookimpl\n    def veto_route(self, route): return 'no'")
    with pytest.raises(PluginError, match="no route policy named 'view'") as raised:
        Registry().policies(["view"])
    assert "Did you mean 'views'?" in raised.value.cure
    with pytest.raises(ConfigError, match="'views' is named twice"):
        Registry().policies(["views", "views"])
    with pytest.raises(ConfigError, match="options for 'other'"):
        Registry().policies(["views"], {"other": {}})


LOCAL = """
from port17 import ChartNode, RoutePolicy, hookimpl

class EuOnly(RoutePolicy):
    @hookimpl
    def exclude_node(self, node: ChartNode) -> str | None:
        return None if node.name.startswith("eu") else "outside"

NotOne = 5
"""


def test_a_policy_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "eu_only.py").write_text(LOCAL)
    panel = Registry().policies(["./eu_only.py:EuOnly"], folder=tmp_path)
    assert objections(panel.judge_node(NODE, "middle", "normal")) == [("eu_only.py:EuOnly", "outside")]
    absolute = Registry().policies([f"{tmp_path}/eu_only.py:EuOnly"])
    assert objections(absolute.judge_node(NODE, "middle", "normal")) == [("eu_only.py:EuOnly", "outside")]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ("./absent.py:EuOnly", "there is no file"),
        ("./eu_only.py:EuOnlt", "has no 'EuOnlt'"),
        ("./eu_only.py:NotOne", "it is not a class that derives from port17.RoutePolicy"),
        ("./broken.py:EuOnly", "cannot be loaded: ValueError: oh"),
        ("./rude.py:EuOnly", "cannot be loaded: SystemExit"),
    ],
)
def test_a_policy_file_that_cannot_be_used(tmp_path: Path, spec: str, cause: str) -> None:
    (tmp_path / "eu_only.py").write_text(LOCAL)
    (tmp_path / "broken.py").write_text("raise ValueError('oh')")
    (tmp_path / "rude.py").write_text("raise SystemExit")
    with pytest.raises(PluginError) as raised:
        Registry().policies([spec], folder=tmp_path)
    assert cause in raised.value.message
    assert raised.value.cure


TRANSPORT = """
from port17 import Transport

class {name}(Transport):
    name = "{name}"
    def check_address(self, address): pass
    async def dial(self, address): raise OSError
    def listen(self, address): raise OSError
"""


def test_a_plugin_may_forbid_suites_and_transports(shelf: Shelf) -> None:
    for name in ("pipe", "wire"):
        points = {"port17.transports": {name: f"{name}s:{name}"}}
        shelf.install(name, points, **{f"{name}s": TRANSPORT.format(name=name)})
    assert Registry().make("port17.transports", "pipe").name == "pipe"
    hook_plugin(
        shelf,
        "@hookimpl\ndef refuse_suite(suite):\n    return 'not audited'\n"
        "@hookimpl\ndef refuse_transport(transport):\n"
        "    return 'no pipes' if transport.name == 'pipe' else None\n",
    )
    registry = Registry()
    with pytest.raises(ConfigError, match="views: no pipes"):
        registry.make("port17.transports", "pipe")
    assert registry.make("port17.transports", "wire").name == "wire"
    suite: CipherSuite = object()  # type: ignore[assignment]
    assert objections(registry.panel.judge_suite(suite)) == [("views", "not audited")]


def test_the_typed_relay_speaks_of_the_hooks_that_there_are() -> None:
    specified = {
        name: set(inspect.signature(member).parameters)
        for name, member in vars(hookspecs).items()
        if hasattr(member, f"{hookspecs.PROJECT}_spec")
    }
    typed = {
        name: set(inspect.signature(member).parameters) - {"self"}
        for name, member in vars(hookspecs.Hooks).items()
        if not name.startswith("_")
    }
    assert specified == typed
    assert set(specified) == {
        name
        for name, caller in vars(HookBoard().manager.hook).items()
        if isinstance(caller, pluggy.HookCaller)
    }


def test_a_request_shows_nothing_of_itself() -> None:
    shown = repr(Request("secret.example", 4433, isolation=b"alice:password"))
    assert "secret" not in shown
    assert "4433" not in shown
    assert "alice" not in shown


def test_the_panel_is_what_the_navigator_asks() -> None:
    panel: Policies = Panel(HookBoard())
    assert panel.judge_node(NODE, "middle", "normal") == Judgement()


def routing(shelf: Shelf, **hooks: str) -> Panel:
    """A panel of plugins that are asked about routes; each argument is a plugin's source."""
    head = "from port17 import Spread, hookimpl\n"
    for name, source in hooks.items():
        shelf.install(name, {"port17": {name: name}}, **{name: head + source})
    return Registry().panel


def test_the_strictest_level_and_the_most_hops_hold(shelf: Shelf) -> None:
    panel = routing(
        shelf,
        one="@hookimpl\ndef choose_level(request):\n    return 'fast'\n"
        "@hookimpl\ndef least_hops(request):\n    return 4 if request.level == 'high' else 3\n",
        two="@hookimpl\ndef choose_level(request):\n    return 'high' if request.port == 22 else None\n"
        "@hookimpl\ndef least_hops(request):\n    return None\n",
    )
    assert panel.judge_request(Request("a.example", 22)).request.level == "high"
    assert panel.judge_request(Request("a.example", 22)).hops == 4, "asked with the level that holds"
    demand = panel.judge_request(Request("a.example", 443, level="high"))
    assert demand.request.level == "fast", "the user's own holds only if nobody says"
    assert Panel(HookBoard()).judge_request(Request("a", 1, level="high")).request.level == "high"
    assert Panel(HookBoard()).judge_request(REQUEST).hops == 0


def test_the_largest_share_and_the_smallest_ratio_hold(shelf: Shelf) -> None:
    assert Panel(HookBoard()).judge_request(REQUEST).spread == USUAL_SPREAD
    panel = routing(
        shelf,
        one="@hookimpl\ndef choose_spread():\n    return Spread(0.5, 8.0)\n",
        two="@hookimpl\ndef choose_spread(request):\n    return Spread(0.1, 1.5)\n",
    )
    assert panel.judge_request(REQUEST).spread == Spread(0.5, 1.5)


@pytest.mark.parametrize(
    ("hook", "answer"),
    [
        ("choose_level", "'paranoid'"),
        ("choose_level", "3"),
        ("choose_level", "1 / 0"),
        ("least_hops", "'four'"),
        ("least_hops", "True"),
        ("least_hops", "10 ** 5000"),
        ("least_hops", "-(10 ** 5000)"),
        ("choose_spread", "0.5"),
        ("choose_spread", "Spread(0.0, 2.0)"),
        ("choose_spread", "Spread(1.5, 2.0)"),
        ("choose_spread", "Spread(float('nan'), 2.0)"),
        ("choose_spread", "Spread(0.5, 0.5)"),
        ("choose_spread", "Spread(0.5, float('inf'))"),
        ("choose_spread", "Spread('1/3', 2.0)"),
        ("choose_spread", "Spread(0.5, None)"),
        ("refuse_request", "'blocked'"),
        ("refuse_request", "5"),
    ],
)
def test_what_is_no_answer_refuses_the_request(shelf: Shelf, hook: str, answer: str) -> None:
    panel = routing(shelf, views=f"@hookimpl\ndef {hook}(request):\n    return {answer}\n")
    (objection,) = panel.judge_request(REQUEST).objections
    assert objection.by == "views"
    assert "example.com" not in objection.reason


def test_families_of_all_come_together_and_who_fails_to_say_keeps_the_node_out(shelf: Shelf) -> None:
    panel = routing(
        shelf,
        one="@hookimpl\ndef families(node, level):\n    return [level, node.group]\n",
        two="@hookimpl\ndef families(node):\n    return {'two'} if node.name == 'alice' else None\n",
        three="@hookimpl\ndef families(node):\n"
        "    return {'alice': None, 'bob': 'a name', 'carol': [1], 'dave': map(str, range(99))}[node.name]\n",
        four="@hookimpl\ndef families(node):\n"
        "    return map(str, range(9)) if node.name == 'erin' else None\n",
    )
    assert panel.families(NODE, "high") == Kin(frozenset({"high", "a", "two"}))
    for name in ("bob", "carol", "dave", "erin"):
        kin = panel.families(replace(OTHER, name=name), "fast")
        assert kin.objections, name
        assert "fast" in kin.families
    assert Panel(HookBoard()).families(NODE, "fast") == Kin()


def test_costs_of_several_add_up_to_a_number_or_object(shelf: Shelf) -> None:
    panel = routing(
        shelf,
        one="@hookimpl\ndef node_cost(node):\n    return 0.5\n",
        two="@hookimpl\ndef node_cost(node):\n    return 10 ** (400 if node.name == 'alice' else 299)\n",
        three="@hookimpl\ndef node_cost(node):\n    return 10 ** 299\n",
    )
    assert [by for by, _ in objections(panel.judge_node(NODE, "middle", "fast"))] == ["two"]
    assert panel.judge_node(OTHER, "middle", "fast").cost_us == pytest.approx(2e299)


def test_whoever_asks_while_it_is_found_out_who_is_to_be_asked_asks_all(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another thread may."""
    panel = routing(shelf, one="@hookimpl\ndef exclude_node(node):\n    return 'no'\n")
    fitted, meanwhile = panel_module._fitted, []

    def slowly(*arguments: Any) -> Any:
        monkeypatch.setattr(panel_module, "_fitted", fitted)
        meanwhile.append(panel.judge_node(NODE, "entry", "fast"))
        return fitted(*arguments)

    monkeypatch.setattr(panel_module, "_fitted", slowly)
    panel.by_request  # noqa: B018 - asks who is to be asked
    assert [objections(one) for one in meanwhile] == [[("one", "no")]]


def test_too_many_families_object(shelf: Shelf) -> None:
    panel = routing(shelf, views="@hookimpl\ndef families(node):\n    return [str(n) for n in range(65)]\n")
    ((by, reason),) = [(one.by, one.reason) for one in panel.families(NODE, "fast").objections]
    assert (by, reason) == ("views", "it answered a list instead of at most 64 names of families")


def test_positions_levels_and_requests_are_told_and_asked_apart(shelf: Shelf) -> None:
    panel = routing(
        shelf,
        one="@hookimpl\ndef exclude_node(level, position):\n    return f'{level} {position}'\n"
        "@hookimpl\ndef node_cost(node, request):\n    return request.port\n",
        two="@hookimpl\ndef exclude_node(node, request):\n    return request.host\n"
        "@hookimpl\ndef exclude_lane(target, lane, request):\n    return target.name\n"
        "@hookimpl\ndef lane_cost(source):\n    return 7\n",
        three="@hookimpl\ndef exclude_exit(node):\n    return 'exit'\n"
        "@hookimpl\ndef exit_cost(request):\n    return 5\n",
    )
    assert objections(panel.judge_node(NODE, "entry", "high")) == [("one", "high entry")]
    assert objections(panel.judge_node(NODE, "exit", "fast")) == [("one", "fast exit"), ("three", "exit")]
    judged = panel.judge_node_for(NODE, "entry", REQUEST)
    assert objections(judged) == [("two", "example.com")]
    assert (judged.cost_us, judged.charges) == (443.0, (("one", 443),))
    assert panel.judge_lane(NODE, OTHER, Lane()) == Judgement((), 7.0)
    assert objections(panel.judge_lane_for(NODE, OTHER, Lane(), REQUEST)) == [("two", "bob")]
    assert panel.judge_exit(NODE, REQUEST) == Judgement((), 5.0), "without what was said once for all"
    assert panel.by_request == {"exclude_node", "node_cost", "exclude_lane", "exit_cost"}
    assert panel.names == ("one", "three", "two")

    fewer = panel.without(["two"]).without(["three"])
    assert fewer.names == ("one",)
    assert fewer.by_request == {"node_cost"}
    assert objections(fewer.judge_node_for(NODE, "entry", REQUEST)) == []
    assert panel.names == ("one", "three", "two"), "itself it is as it was"


def test_exits_weighed_together_are_those_judged_one_by_one(shelf: Shelf) -> None:
    panel = routing(
        shelf,
        one="@hookimpl\ndef exclude_exit(node, request):\n"
        "    return {'n1': 'no', 'n2': '', 'n3': False}.get(node.name)\n",
        two="@hookimpl\ndef exit_cost(node, request):\n"
        "    return {'n4': 5, 'n5': 2.5, 'n6': True, 'n7': -1, 'n8': 'much', 'n9': float('inf'),"
        " 'n10': float('nan')}.get(node.name) if node.name != 'n11' else 1 / 0\n",
        three="@hookimpl\ndef exit_cost(node, request):\n    return 1 if node.name != 'n12' else None\n",
    )
    nodes = [replace(NODE, name=f"n{index}") for index in range(14)]
    judged = {node: panel.judge_exit(node, REQUEST) for node in nodes}
    expected = {node: judgement.cost_us for node, judgement in judged.items() if not judgement.objections}
    assert panel.weigh_exits(nodes, REQUEST) == expected
    assert {node.name: us for node, us in expected.items()} == {
        "n0": 1,
        "n4": 6,
        "n5": 3.5,
        "n12": 0,
        "n13": 1,
    }
    nobody = Panel(HookBoard())
    assert nobody.weigh_exits(nodes, REQUEST) == dict.fromkeys(nodes, 0.0)
