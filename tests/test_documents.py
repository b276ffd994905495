"""The documents say what is so: links resolve, commands parse, settings load, examples run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from port17.config import ClientConfig, NodeConfig, load
from port17_cli.parser import build

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("port17-*/*.md"),
        *ROOT.glob("benchmarks/*.md"),
    ]
)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\S*)[ ]?(.*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`((?:port17-[a-z]+|plugins|tests|benchmarks|docs)/[\w./*-]+)`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
EXAMPLE = ROOT / "plugins/port17-policy-example/src/port17_policy_example/__init__.py"
EXAMPLE_CAP = 25
"""Lines of code in which a policy can be written: what the project promises to a plugin's author."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    :param language: the first word behind the fence.
    :param title: the rest of that line.
    """

    document: Path
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    return [block for block in _blocks() if block.language in languages]


def _blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        text = document.read_text()
        for match in FENCE.finditer(text):
            yield Block(document, text.count("\n", 0, match.start()) + 1, *match.groups())


def anchors(document: Path) -> set[str]:
    """The anchors that a forge gives to the headings of a document."""
    prose = FENCE.sub("", document.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(prose)}


def commands() -> list[tuple[str, list[str]]]:
    """Every `port17` command in a shell block, with its place; what follows a pipe is the shell's."""
    found = []
    for block in blocks("sh", "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = words[: next((at for at, word in enumerate(words) if word in {"|", ">", "&"}), None)]
            if words[:1] == ["port17"]:
                found.append((f"{block} {' '.join(words)}", words[1:]))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(document: Path) -> None:
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.is_relative_to(ROOT), f"{link} leads out of the project"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_places_in_the_tree_exist(document: Path) -> None:
    for place in PLACE.findall(document.read_text()):
        assert any(ROOT.glob(place)), f"there is no {place}"


@pytest.mark.parametrize("words", [pytest.param(words, id=place) for place, words in commands()])
def test_commands_are_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if "--help" in words or "--version" in words:
        with pytest.raises(SystemExit) as end:
            build().parse_args(words)
        assert end.value.code == 0
    else:
        assert build().parse_args(words).handler, "a command is missing"


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_load(block: Block, tmp_path: Path) -> None:
    models = {"node.toml": NodeConfig, "client.toml": ClientConfig}
    assert block.title in models, f"say behind the fence which file it is: {' or '.join(models)}"
    path = tmp_path / block.title
    path.write_text(block.text)
    load(models[block.title], path, env={}, flags={})


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_examples_run(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})


def test_the_readme_shows_the_example_plugin_itself() -> None:
    example = EXAMPLE.read_text()
    assert [
        block for block in blocks("python") if block.document.name == "README.md" and block.text == example
    ]
    assert len(example.splitlines()) <= EXAMPLE_CAP


def test_every_document_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        document = ahead.pop()
        if document in reached:
            continue
        reached.add(document)
        for link in LINK.findall(document.read_text()):
            target = (document.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists():
                ahead.append(target)
    assert {document for document in DOCUMENTS if document.is_relative_to(ROOT / "docs")} <= reached
