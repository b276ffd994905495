"""``port17 client``: making a client's configuration, and running it."""

from __future__ import annotations

import argparse
from pathlib import Path

from port17.config import ClientConfig
from port17_cli import drivers, output, settings


def init(args: argparse.Namespace) -> int:
    """``port17 client init``."""
    import time

    from port17.plugins.loader import Registry
    from port17.records.charter import Charter
    from port17_cli.charter import refuse_existing

    path = Path(args.config)
    if not args.force:
        refuse_existing(path)
    charter = Charter.load(Path(args.charter), drivers.schemes(Registry()))
    drivers.allowed(args.suite or (), charter.current(time.time()).suites, "cipher suite")
    values = {
        "charter": settings.spell(args.charter, path),
        "bottles": settings.spell(args.bottles, path) if args.bottles else "bottles",
        "state": f"{path.stem}-state",
        "control": f"{path.stem}.sock",
        "suites": args.suite,
        "policies": args.policy or None,
        "bootstrap": settings.bootstrap(args.bootstrap, path),
        **settings.surroundings(args),
        "ingress": {"socks5": {"listen": args.socks}},
    }
    config = settings.write(path, values, ClientConfig, "A client of Port17; see docs/command-line.md")
    config.bottles.mkdir(parents=True, exist_ok=True)
    if args.json:
        made = {"config": str(path.absolute()), "bottles": str(config.bottles), "socks": args.socks}
        print(output.document("port17.client.init/1", made))
        return 0
    print(f"Client: {path}")
    if not args.bootstrap:
        print(f"  put the bottles of the network's nodes into {config.bottles}, or give --bootstrap SOURCE")
    print(f"  run it with `port17 client run --config {path}`; programs find SOCKS5 at {args.socks}")
    return 0


def run(args: argparse.Namespace) -> int:
    """``port17 client run``."""
    config, _ = settings.read(ClientConfig, args.config, args.set)
    from port17.client import tunnel
    from port17.plugins.loader import Registry
    from port17_cli import logs, service

    logs.set_up(config.log.level)
    service.run(
        tunnel.run,
        config,
        Registry(),
        service.ready_line("port17.client.run/1", json=args.json),
        while_stdin=args.while_stdin,
    )
    return 0
