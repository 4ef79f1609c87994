"""Time of collectives between devices: curves fitted on measured links, scaled to links that were not measured."""

from codesign.costmodels.collectives.line import Line, line_of
from codesign.costmodels.collectives.ring import collective_seconds

__all__ = ["Line", "collective_seconds", "line_of"]
