"""Where configuration comes from, which source wins, and what is said when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from port17.config import ClientConfig, NodeConfig, Origin, leaves, load
from port17.errors import ConfigError

NODE = """\
charter = "net.charter"
name = "harbour"
group = "one"

[listen]
tcp = "127.0.0.1:7017"

[exit]
enabled = true
"""


def write(tmp_path: Path, text: str, name: str = "node.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_later_source_wins_and_origins_say_so(tmp_path: Path) -> None:
    path = write(tmp_path, NODE)
    config, origins = load(
        NodeConfig,
        path,
        env={"PORT17_GROUP": "two", "PORT17_EXIT__ENABLED": "false", "UNRELATED": "x"},
        flags={"group": "three", "log.level": None},
    )
    assert (config.name, config.group, config.exit.enabled) == ("harbour", "three", False)
    assert origins["name"] == Origin("file", f"{path}:2")
    assert origins["group"] == Origin("flag", "--set group")
    assert origins["exit.enabled"] == Origin("env", "PORT17_EXIT__ENABLED")
    assert origins["listen.tcp"] == Origin("file", f"{path}:6")
    assert origins["log.level"] == Origin("default")


def test_every_leaf_has_an_origin(tmp_path: Path) -> None:
    config, origins = load(NodeConfig, write(tmp_path, NODE))
    assert {".".join(key) for key, _ in leaves(config)} == set(origins)


def test_relative_paths_start_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config, _ = load(
        NodeConfig,
        write(tmp_path, NODE + "[transports.tcp]\nfile = 'kept.txt'\n"),
        env={"PORT17_CONTROL": "c.sock"},
        flags={"state": "keys"},
    )
    assert config.charter == tmp_path / "net.charter"
    assert config.bottles == tmp_path / "bottles"
    assert config.control == elsewhere / "c.sock"
    assert config.state == elsewhere / "keys"
    assert config.transports == {"tcp": {"file": "kept.txt"}}


def test_local_policies_are_found_beside_the_file(tmp_path: Path) -> None:
    text = """
        charter = "/c"
        policies = ["fastest", "./eu.py:EuOnly"]
        [policy_options."./eu.py:EuOnly"]
        countries = ["de"]
    """
    config, _ = load(ClientConfig, write(tmp_path, text))
    local = f"{tmp_path}/eu.py:EuOnly"
    assert config.policies == ["fastest", local]
    assert config.policy_options == {local: {"countries": ["de"]}}


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ('nmae = "x"', "name"),
        ("[exit]\nallow_privat = true", "exit.allow_private"),
        ("allow_private = true", "exit.allow_private"),
        ("[limit]\nmemory_mib = 9", "limits.memory_mib"),
    ],
)
def test_unknown_key_says_which_was_meant(tmp_path: Path, line: str, meant: str) -> None:
    path = write(tmp_path, 'charter = "c"\n' + line)
    with pytest.raises(ConfigError) as caught:
        load(NodeConfig, path)
    assert caught.value.cure == f"Did you mean {meant}?"
    assert str(path) in caught.value.message


def test_unknown_variable_says_which_was_meant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PORT17_LOG__LEVLE") as caught:
        load(NodeConfig, write(tmp_path, NODE), env={"PORT17_LOG__LEVLE": "debug"})
    assert caught.value.cure == "Did you mean PORT17_LOG__LEVEL?"


def test_a_nodes_variables_do_not_disturb_a_client(tmp_path: Path) -> None:
    config, _ = load(ClientConfig, write(tmp_path, 'charter = "c"'), env={"PORT17_GROUP": "mine"})
    assert config.ingress == {"socks5": {"listen": "127.0.0.1:1080"}}


def test_wrong_values_are_all_named_with_their_origin(tmp_path: Path) -> None:
    path = write(tmp_path, 'charter = "c"\nname = "a b"\ngroup = "g"\n[log]\nlevel = "loud"\n')
    with pytest.raises(ConfigError) as caught:
        load(NodeConfig, path, env={"PORT17_LIMITS__MEMORY_MIB": "1"})
    message = caught.value.message
    assert f'file {path}:2: name = "a b"' in message
    assert f'file {path}:5: log.level = "loud"' in message
    assert 'env PORT17_LIMITS__MEMORY_MIB: limits.memory_mib = "1"' in message


def test_missing_values_say_how_to_set_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="charter is not set") as caught:
        load(ClientConfig, write(tmp_path, ""))
    assert "PORT17_CHARTER" in caught.value.cure


def test_arrays_in_the_environment(tmp_path: Path) -> None:
    config, _ = load(NodeConfig, write(tmp_path, NODE), env={"PORT17_SUITES": '["a", "b"]'})
    assert config.suites == ["a", "b"]
    with pytest.raises(ConfigError, match="PORT17_SUITES"):
        load(NodeConfig, write(tmp_path, NODE), env={"PORT17_SUITES": "[a, b]"})


def test_a_driver_table_is_replaced_whole_or_by_leaf(tmp_path: Path) -> None:
    text = 'charter = "c"\n[ingress.socks5]\nlisten = "127.0.0.1:1"\n'
    config, origins = load(
        ClientConfig, write(tmp_path, text), flags={"ingress.socks5.listen": "127.0.0.1:2"}
    )
    assert config.ingress == {"socks5": {"listen": "127.0.0.1:2"}}
    assert origins["ingress.socks5.listen"].kind == "flag"


@pytest.mark.parametrize("text", ["name = ", "[listen\n", "a = 1\na = 2\n"])
def test_toml_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(NodeConfig, write(tmp_path, text))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file") as caught:
        load(NodeConfig, tmp_path / "none.toml")
    assert "port17 node init" in caught.value.cure


def test_without_ingress_a_client_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least one ingress"):
        load(ClientConfig, write(tmp_path, 'charter = "c"\ningress = {}\n'))
