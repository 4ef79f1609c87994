"""Time of collectives between devices: curves fitted on measured links, scaled to links that were not measured."""

from codesign.costmodels.collectives.ring import collective_seconds

__all__ = ["collective_seconds"]
