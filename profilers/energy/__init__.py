"""Energy meters: one protocol, the ladder from the best counter to an honest estimate, and energy per pass."""

from __future__ import annotations

from codesign.profilers.energy.ladder import LADDER, Choice, choose_meter, here, meters, survey
from codesign.profilers.energy.liveness import Finding, check_live
from codesign.profilers.energy.meter import About, Meter, Reading, Site
from codesign.profilers.energy.replay import Recording, ReplayMeter, read_recording, record, write_recording
from codesign.profilers.energy.window import Energy, measure_energy

__all__ = [
    "LADDER",
    "About",
    "Choice",
    "Energy",
    "Finding",
    "Meter",
    "Reading",
    "Recording",
    "ReplayMeter",
    "Site",
    "check_live",
    "choose_meter",
    "here",
    "measure_energy",
    "meters",
    "read_recording",
    "record",
    "survey",
    "write_recording",
]
