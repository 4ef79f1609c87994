"""Collectives: physics that every link obeys, curves whose truth is known, measured times, tables and the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.costmodels.collectives import collective_seconds
from codesign.costmodels.collectives.curve import Curve, fit_curve, mean_of
from codesign.costmodels.collectives.fit import figures_of
from codesign.costmodels.collectives.line import Line, line_of
from codesign.costmodels.collectives.links import Figures, likeness, measured_curve
from codesign.costmodels.collectives.ring import TRAFFIC
from codesign.costmodels.collectives.route import Route
from codesign.costmodels.collectives.shipped import decode, encode, shipped
from codesign.costmodels.collectives.tables import read_collectives
from codesign.costmodels.collectives.training import CollectiveFit, fit_collectives
from codesign.costmodels.factors import F
from codesign.costmodels.machine import factors_of, machine
from codesign.errors import DataError
from codesign.quantity import Method
from codesign.targets import Target, list_targets, load_target

LINKED = tuple(name for name in list_targets() if load_target(name).link("node") is not None)
KINDS = tuple(TRAFFIC)
SIZES = np.geomspace(256.0, 4e9, 60)


def node(name: str, participants: int = 2) -> Line:
    line = line_of(load_target(name), "node", participants=participants)
    assert line is not None
    return line


def with_rate(target: Target, factor: float) -> Target:
    links = tuple(
        msgspec.structs.replace(
            link, bandwidth=msgspec.structs.replace(link.bandwidth, value=link.bandwidth.value * factor)
        )
        for link in target.links
    )
    return msgspec.structs.replace(target, links=links)


# --- physics ------------------------------------------------------------------------


@pytest.mark.parametrize("name", LINKED)
@pytest.mark.parametrize("participants", [2, 3, 8, 16])
def test_more_bytes_never_take_less_and_the_wire_is_never_outrun(name: str, participants: int) -> None:
    target = load_target(name)
    wire = target.link("node")
    assert wire is not None
    for kind in KINDS:
        seconds = np.asarray(node(name, participants).collective(kind, SIZES, participants))
        assert np.all(np.diff(seconds) >= 0.0)
        assert np.all(seconds > 0.0)
        least = TRAFFIC[kind](participants) * SIZES / wire.bandwidth.value
        assert np.all(seconds >= least / 1.1), f"{kind} outruns the link"


@given(
    name=st.sampled_from(LINKED),
    kind=st.sampled_from(KINDS),
    participants=st.integers(2, 72),
    payload=st.lists(st.floats(1.0, 1e11), min_size=1, max_size=6),
)
@settings(max_examples=60)
def test_arrays_equal_scalars(name: str, kind: str, participants: int, payload: list[float]) -> None:
    line = node(name, participants)
    together = line.collective(kind, np.array(payload)[:, None], participants)
    alone = [float(line.collective(kind, one, participants)) for one in payload]
    np.testing.assert_allclose(together[:, 0], alone, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_do_takes_nothing(kind: str) -> None:
    line = node("h100-sxm")
    assert line.collective(kind, 1e6, 1) == 0.0
    assert float(line.collective(kind, 0.0, 8)) == 0.0
    np.testing.assert_array_equal(np.asarray(line.collective(kind, np.array([0.0, 1.0]), 8)) > 0.0, [False, True])
    across = line_of(load_target("h100-sxm"), "network", participants=16, inside=8)
    assert across is not None
    assert float(across.collective(kind, 0.0, 16)) == 0.0


@pytest.mark.parametrize("name", ["h100-sxm", "h200-sxm", "l4", "mi300x", "v100-pcie"])
def test_a_faster_link_never_takes_longer(name: str) -> None:
    target = load_target(name)
    for place, inside in (("node", 1), ("network", 4)):
        slow, fast = (line_of(with_rate(target, f), place, participants=8, inside=inside) for f in (1.0, 2.0))
        assert slow is not None
        assert fast is not None
        for kind in KINDS:
            before, after = slow.collective(kind, SIZES, 8), fast.collective(kind, SIZES, 8)
            assert np.all(after <= before * (1 + 1e-12))
            assert after[-1] < 0.7 * before[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("nodes", [2, 3])
def test_nodes_cost_their_part_and_the_network_its_own(kind: str, nodes: int) -> None:
    target, inside = load_target("h100-sxm"), 4
    across = line_of(target, "network", participants=nodes * inside, inside=inside)
    assert across is not None
    assert across.route is not None
    assert across.route.network is not None
    network = across.route.network
    whole = across.collective(kind, SIZES, nodes * inside)
    if kind not in ("send", "all_to_all"):
        wire = TRAFFIC[kind](nodes) * SIZES / inside / network.bandwidth
        within = node("h100-sxm").collective(kind, SIZES, inside)
        assert np.all(whole >= wire + within)
        large = float(whole[-1])
        assert large == pytest.approx(float(wire[-1] + within[-1]), rel=0.01), "latencies vanish beside gigabytes"
    fewer = Route(across.route.node, network, inside, ports=1).seconds(kind, SIZES, nodes * inside)
    assert np.all(fewer >= whole - 1e-15), "fewer ports are never faster"


def test_one_device_a_node_is_the_ring_after_a_launch() -> None:
    across = line_of(load_target("h100-sxm"), "network", participants=4)
    assert across is not None
    assert across.route is not None
    assert across.route.network is not None
    ring = collective_seconds("all_reduce", SIZES, 4, across.route.network.bandwidth, across.route.network.latency)
    launch = node("h100-sxm").collective("all_reduce", 1.0, 2)
    np.testing.assert_allclose(across.collective("all_reduce", SIZES, 4), ring + launch, rtol=1e-12)


# --- measured times -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "participants", "payload", "expected"),
    [
        ("h100-sxm", "all_reduce", 8, 16_384.0, 17.0e-6),
        ("h100-sxm", "all_reduce", 8, 2.0**29, 2112e-6),
        ("a100-80gb-sxm", "all_reduce", 8, 2.0**20, 38.8e-6),
        ("b200-sxm", "all_gather", 8, 2.0**27, 210e-6),
        ("rtx-pro-6000-server", "all_reduce", 8, 2.0**25, 2494e-6),
        ("v100-pcie", "all_reduce", 4, 2.0**28, 90.2e-3),
        ("h100-sxm", "send", 2, 2.0**28, 738e-6),
    ],
)
def test_measured_collectives(name: str, kind: str, participants: int, payload: float, expected: float) -> None:
    # AIConfigurator (NCCL 2.27 to 2.29) and APEX+ (V100, send), half precision: single measurements
    assert float(node(name).collective(kind, payload, participants)) == pytest.approx(expected, rel=0.08)


def test_a_link_takes_its_own_curve_then_that_of_its_like() -> None:
    assert node("h100-sxm").method is Method.INTERPOLATED
    assert node("h200-sxm").method is Method.SAME_FAMILY
    assert node("v100-sxm").method is Method.NEW_FAMILY
    assert node("l4").method is Method.NEW_FAMILY
    assert node("mi300x").method is Method.ANALYTICAL
    np.testing.assert_allclose(
        node("h200-sxm").collective("all_reduce", SIZES, 8), node("h100-sxm").collective("all_reduce", SIZES, 8)
    )
    sigmas = [node(name).sigma for name in ("h100-sxm", "h200-sxm", "v100-sxm", "l4")]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] < sigmas[1], "a sibling is less certain than the link itself"
    assert node("h100-sxm", 4).sigma < node("h100-sxm", 6).sigma < node("h100-sxm", 16).sigma
    network = line_of(load_target("h100-sxm"), "network")
    assert network is not None
    assert network.sigma > node("h100-sxm").sigma


def test_changed_figures_of_a_measured_link_are_no_measurement() -> None:
    line = line_of(with_rate(load_target("h100-sxm"), 2.0), "node")
    assert line is not None
    assert line.method is Method.SAME_FAMILY


def test_the_least_certain_axis_speaks_for_the_link_factor() -> None:
    target = load_target("h100-sxm")
    inside = machine(target, (("tp", 8),)).factors[F.LINK]
    across = machine(target, (("tp", 8), ("pp", 2)), nodes=2).factors[F.LINK]
    assert inside == factors_of(target, "bf16")[F.LINK]
    assert inside.method is Method.INTERPOLATED
    assert across.method is Method.ANALYTICAL
    assert across.sigma > inside.sigma


# --- curves -------------------------------------------------------------------------


def test_fitted_curve_between_and_beyond_its_knots() -> None:
    sizes = np.exp2(np.arange(9, 30, dtype=np.float64))
    curve = fit_curve(sizes, 10e-6 + sizes / 1e11)
    between = np.geomspace(512, 2.0**29, 100)
    np.testing.assert_allclose(curve.seconds(between), 10e-6 + between / 1e11, rtol=0.05)
    assert len(curve.sizes) < len(sizes), "straight stretches need no knots"
    assert curve.seconds(2.0**33) == pytest.approx(2.0**33 / 1e11, rel=0.01), "the last rate goes on"
    assert curve.seconds(1.0) == pytest.approx(curve.floor)


@given(st.lists(st.floats(1e-6, 1e-2), min_size=2, max_size=25))
def test_noise_never_makes_a_curve_descend(seconds: list[float]) -> None:
    sizes = np.exp2(np.arange(9, 9 + len(seconds), dtype=np.float64))
    curve = fit_curve(sizes, np.array(seconds))
    assert list(curve.times) == sorted(curve.times)
    assert min(seconds) * 0.99 <= curve.floor
    assert curve.times[-1] <= max(seconds) * 1.01


def test_stretching_and_averaging_curves() -> None:
    curve = Curve((1e3, 1e6), (1e-5, 1e-4))
    assert curve.scaled(2.0, 3.0).seconds(2e6) == pytest.approx(3e-4)
    assert mean_of((curve, curve.scaled(1.0, 4.0)), (0.5, 0.5)).seconds(1e6) == pytest.approx(2e-4)


def test_other_numbers_of_devices() -> None:
    measured = shipped().measured["h100-sxm"]
    two, three, four = (measured_curve(measured, "all_reduce", p).seconds(SIZES) for p in (2, 3, 4))
    low, high = np.minimum(two, four), np.maximum(two, four)
    assert np.all((low * (1 - 1e-9) <= three) & (three <= high * (1 + 1e-9)))
    eight, sixteen = (measured_curve(measured, "all_reduce", p) for p in (8, 16))
    assert sixteen.floor > eight.floor
    ratio = float(sixteen.seconds(1e11) / eight.seconds(1e11))
    assert ratio == pytest.approx(TRAFFIC["all_reduce"](16) / TRAFFIC["all_reduce"](8)), "the bus rate stays"


# --- tables, fit, file --------------------------------------------------------------

ROW = {"framework": "nccl/2.29.2", "nccl_dtype": "half"}
SYSTEMS = ("a100_sxm", "h100_sxm", "b200_sxm")


def table(systems: tuple[str, ...] = SYSTEMS, share: float = 0.7) -> pl.DataFrame:
    """Return collectives in the schema of AIConfigurator that follow the ring's closed form exactly."""
    names = {"all_to_all": "alltoall"}
    rows = []
    for system in systems:
        link = figures_of(load_target(system).id)
        for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
            for participants in (2, 4, 8):
                for elements in 2 ** np.arange(8, 29):
                    payload = 2.0 * elements
                    seconds = collective_seconds(kind, payload, participants, share * link.bandwidth, link.latency)
                    rows.append({**ROW, "system": system, "op_name": names.get(kind, kind), "num_gpus": participants,
                                 "message_size": int(elements), "latency_ms": 1e3 * seconds})  # fmt: skip
    return pl.DataFrame(rows)


def write(folder: Path, content: pl.DataFrame, name: str = "aiconfigurator/nccl.parquet") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    content.write_parquet(folder / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("collectives"), table())


@pytest.fixture(scope="module")
def found(folder: Path) -> CollectiveFit:
    return fit_collectives(folder)


def test_a_fit_of_known_truth(found: CollectiveFit) -> None:
    link = figures_of("h100-sxm")
    for kind in ("all_reduce", "all_gather", "reduce_scatter", "all_to_all"):
        expected = collective_seconds(kind, SIZES[10:50], 8, 0.7 * link.bandwidth, link.latency)
        seconds = measured_curve(found.model.measured["h100-sxm"], kind, 8).seconds(SIZES[10:50])
        np.testing.assert_allclose(seconds, expected, rtol=0.06)
    # links that differ in rate and latency alone are the same link in their own units
    left_out = [score for score in found.scores if score.protocol == "link left out"]
    assert {score.target for score in left_out} >= {"a100-80gb-sxm", "h100-sxm", "b200-sxm"}
    assert all(score.mean < 0.05 for score in left_out)


def test_sizes_are_bytes_and_defects_are_counted(tmp_path: Path) -> None:
    rows = table(("h100_sxm",))
    broken = rows.head(1).with_columns(pl.lit(float("nan")).alias("latency_ms"))
    write(tmp_path, pl.concat([rows, broken]))
    apex = {"gpu": ["V100-PCIE-16GB"] * 3, "num_nodes": [1, 2, 4], "num_gpus_per_node": [2, 4, 1024],
            "dtype": ["half"] * 3, "size_kb": [0, 4, 1], "time_us": [10.0, 300.0, 585.0],
            "op": ["sendrecv", "all_gather", "reduce_scatter"]}  # fmt: skip
    write(tmp_path, pl.DataFrame(apex), "apex/collectives.parquet")
    tables = read_collectives(tmp_path)
    assert tables.sources["aiconfigurator/nccl.parquet"] == {"rows": len(rows), "not a positive number": 1}
    assert tables.sources["apex/collectives.parquet"] == {"rows": 2, "sizes in the column of devices": 1}
    assert min(one.sizes.min() for one in tables.series if one.target == "h100-sxm") == 512.0
    send, gather = (one for one in tables.series if one.target == "v100-pcie")
    (gather, send) = (send, gather) if send.kind == "all_gather" else (gather, send)
    assert (send.kind, send.participants, send.sizes.tolist()) == ("send", 2, [512.0])
    assert (gather.participants, gather.nodes, gather.sizes.tolist()) == (8, 2, [4096.0])


def test_a_copy_under_another_name_counts_once(tmp_path: Path) -> None:
    one = table(("b200_sxm",))
    copy = one.with_columns(pl.lit("b300_sxm").alias("system"))
    sources = read_collectives(write(tmp_path, pl.concat([one, copy]))).sources
    assert sources["aiconfigurator/nccl.parquet"] == {"rows": len(one), "a copy of another series": len(copy)}


def test_missing_tables_and_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no table of measured collectives"):
        read_collectives(tmp_path)
    write(tmp_path, table(("h100_sxm",)).drop("num_gpus"))
    with pytest.raises(DataError, match="num_gpus"):
        read_collectives(tmp_path)


def _other_version(content: dict[str, Any]) -> None:
    content["codesign_collectives"] = 99


def _descending(content: dict[str, Any]) -> None:
    content["measured"]["h100-sxm"]["curves"]["all_reduce"]["8"][1][0] = 1.0


def _surplus(content: dict[str, Any]) -> None:
    content["surplus"] = 1


@pytest.mark.parametrize(
    ("damage", "says"), [(_other_version, "found 99"), (_descending, "ascend"), (_surplus, "surplus")]
)
def test_a_damaged_file_is_refused(damage: Any, says: str) -> None:
    content = json.loads(encode(shipped()))
    damage(content)
    with pytest.raises(DataError, match=says):
        decode(json.dumps(content).encode(), "x.json")
    with pytest.raises(DataError, match=r"x\.json"):
        decode(encode(shipped())[:-200], "x.json")


def test_likeness_counts_each_link_once() -> None:
    measured = shipped().measured
    found = likeness("new", Figures("NVLink9", 1e12, 1e-6), measured)
    by_link: dict[str, float] = {}
    for one in found.references:
        by_link[one.measured.link.name] = by_link.get(one.measured.link.name, 0.0) + one.weight
    assert by_link == pytest.approx({"NVLink3": 1 / 3, "NVLink4": 1 / 3, "NVLink5": 1 / 3})


def test_the_command_writes_the_file(folder: Path, found: CollectiveFit, run_codesign: Any, tmp_path: Path) -> None:
    out = tmp_path / "collectives.json"
    done = run_codesign("costmodels", "fit", "--data", str(folder), "--collectives", str(out), "--json")
    assert done.rc == 0, done.stderr
    assert out.read_bytes() == encode(found.model), "the same tables give the same file"
    assert '"link left out"' in done.stdout
    again = run_codesign("costmodels", "fit", "--data", str(folder), "--collectives", str(out))
    assert again.rc == 2
    assert "--force" in again.stderr


def test_the_shipped_file_is_what_the_public_tables_give() -> None:
    data = Path(__file__).parents[3] / "shared" / "data" / "latency"
    if not data.is_dir():
        pytest.skip("the public tables (../shared/data/latency) are not beside this checkout")
    found = fit_collectives(data)
    assert encode(found.model) == encode(shipped())
    means = {p: [s.mean for s in found.scores if s.protocol == p] for p in {s.protocol for s in found.scores}}
    assert max(means["payloads left out"]) <= 0.08
    switched = [s.mean for s in found.scores if s.protocol == "link left out" and not figures_of(s.target).bus]
    assert max(switched) <= 0.15
