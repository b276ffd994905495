"""The geo source of this end, as its configuration names it, opened."""

from __future__ import annotations

from port17.config.settings import ClientConfig, NodeConfig
from port17.navigator.atlas import Atlas
from port17.navigator.geo import GeoSource
from port17.plugins.families import GEO_SOURCES
from port17.plugins.loader import Registry


def open_atlas(config: NodeConfig | ClientConfig, registry: Registry) -> Atlas:
    """The geo source that a configuration names, ready to be asked.

    :raises ConfigError: its options don't fit, or a file is missing or damaged.
    :raises PluginError: it is not installed, or broken.
    """
    source: GeoSource = registry.make(GEO_SOURCES, config.geo.source, config.geo.options)
    source.open(config.folder)
    return Atlas(source)
