"""``codesign carbon``: what computing emits, and what moving it saves."""

from __future__ import annotations

from codesign.cli.lazy import Entry, command_app, lazy_group

KINDS = {  # adding a command is a line here and a file beside this one
    "footprint": Entry("codesign.cli.carbon_footprint", "Account for the carbon of systems, in grids, over lives."),
    "grids": Entry("codesign.cli.carbon_grids", "List grids, or show one: intensity, hours of the day, source."),
    "hull": Entry("codesign.cli.carbon_hull", "Say which designs of a search are best for some life."),
    "respond": Entry("codesign.cli.carbon_respond", "Plan a fleet's power against the carbon of its grid."),
}

app = command_app("Account for carbon, and plan against it.", cls=lazy_group(KINDS))
