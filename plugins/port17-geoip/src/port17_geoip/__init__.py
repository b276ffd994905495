"""Says where nodes are: the geo source ``maxmind``, for country, city and ASN files in MaxMind's format.

Written against what ``port17`` offers and nothing else. What follows for routes is the policies' to say.
"""

from __future__ import annotations

from port17_geoip.maxmind import MaxMind as MaxMind
