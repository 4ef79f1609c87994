"""The topic ``accelerator-forms`` as a user runs it."""

from __future__ import annotations

import json

import pytest

from codesign.costmodels.accelerator import forms_validation
from codesign.costmodels.accelerator.attention_cascades import AttentionShape
from codesign.costmodels.accelerator.forms_validation import LENGTHS, checks, published_flat
from codesign.costmodels.accelerator.fusemax import Machine, flat_attention
from tests.conftest import RunCodesign


def test_every_check_passes_and_names_its_source() -> None:
    found = list(checks())
    assert len(found) >= 30
    assert [check.name for check in found if not check.passed] == []
    assert all(check.source for check in found)
    assert len({check.name for check in found}) == len(found)


def test_a_wrong_form_would_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms_validation, "FLAT_BUFFER", 16 * 2**20)
    missed = [check.name for check in checks() if not check.passed]
    assert any("FLAT" in name for name in missed)


def test_flat_is_bound_by_its_lanes_up_to_64k_and_by_memory_from_256k() -> None:
    run = published_flat(AttentionShape(64, 12, LENGTHS, LENGTHS))
    assert (run.lane_utilisation[:4] > 1 - 1e-12).all()
    assert (run.lane_utilisation[4:] < 0.9).all()
    assert flat_attention(AttentionShape(64, 12, 1024, 1024), 1.0, Machine()).array_utilisation == 0.125


def test_the_command_shows_them(run_codesign: RunCodesign) -> None:
    done = run_codesign("validate", "accelerator-forms", "--json")
    assert done.rc == 0, done.stderr
    results = json.loads(done.stdout)["results"]
    assert all(row["passed"] for row in results)
    assert {"systolic ws, 1024 x 1024 x 1024: cycles", "1-pass attention: passes over keys"} <= {
        r["name"] for r in results
    }


def test_a_misspelt_topic_is_named(run_codesign: RunCodesign) -> None:
    done = run_codesign("validate", "accelerator-form")
    assert done.rc == 2
    assert "accelerator-forms" in done.stderr
