"""Configuration: what can be set (``settings``) and where it is found (``source``)."""

from __future__ import annotations

from port17.config.settings import ClientConfig, ExitConfig, LimitsConfig, LogConfig, NodeConfig
from port17.config.source import Origin, leaves, load

__all__ = [
    "ClientConfig",
    "ExitConfig",
    "LimitsConfig",
    "LogConfig",
    "NodeConfig",
    "Origin",
    "leaves",
    "load",
]
