"""Timeloop files: the sections that are read, those that change nothing, and those that would.

A file holds one or several of ``architecture``, ``problem``, ``mapping``, ``ERT``, ``ART``; the dump that Timeloop
writes (``parsed-processed-input.yaml``) holds most of them. Templates (Jinja2) have to be rendered before.
"""

from __future__ import annotations

from codesign.costmodels.accelerator.timeloop.section import Section
from codesign.errors import DataError
from codesign.strict_yaml import load_yaml, read_text

TAGS = ("!Container", "!Component", "!Parallel")
"""The tags of an architecture; any other is refused."""

READ = ("architecture", "problem", "mapping", "ERT", "ART")
"""Sections that are read."""

NOTED = ("mapper", "mapspace", "variables", "globals", "compound_components", "components", "architecture_constraints")
"""Sections that steer Timeloop's own search or table generation."""

SILENT = ("dumped_by_timeloop_front_end", "version")

REFUSED = {"sparse_optimizations": "sparse formats and gating change every count"}
"""Sections that would change the result."""


def read_document(path: str) -> Section:
    """Return the sections of a Timeloop file.

    Raises:
        DataError: not YAML as ``codesign.strict_yaml`` reads it (8 MB and 40 levels at most, no anchors, no tags but
            those three), or a section that is not supported.
    """
    return parse_document(read_text(path), path)


def parse_document(text: str, name: str) -> Section:
    """Return the sections of the Timeloop document ``text``; ``name`` is the file named in errors."""
    if "{{" in text or "{%" in text:
        raise DataError(
            f"{name}: a Jinja2 template", "render it first: Timeloop's dump parsed-processed-input.yaml is plain"
        )
    whole = Section(load_yaml(text, name, TAGS), name)
    whole.keys((*READ, *NOTED), (*SILENT, *REFUSED))
    for key, reason in REFUSED.items():
        found = whole.get(key)
        if found is not None and (not isinstance(found.data, dict) or any(found.data.get(k) for k in found.data)):
            raise found.fail("unsupported section", reason)
    return whole


def is_timeloop(path: str) -> bool:
    """Say whether a file is one of Timeloop's: by its sections, before anything else is checked."""
    heads = {line.partition(":")[0] for line in read_text(path).splitlines() if line[:1].isalpha()}
    return bool(heads & {"architecture", "mapping", "ERT", "ART", "dumped_by_timeloop_front_end"}) or (
        "problem" in heads and "schema" not in heads
    )


def notes_of(document: Section) -> list[str]:
    """Return a line about every section that was not used."""
    data = document.data if isinstance(document.data, dict) else {}
    unused = [key for key in NOTED if key != "architecture_constraints" and data.get(key)]
    return [f"{document.file}: not used: {', '.join(unused)}"] if unused else []
