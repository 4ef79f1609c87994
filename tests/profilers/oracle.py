"""The figures of a trace by their definitions, event by event in plain Python: slow, and written without ours."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

Number = float | None


class Oracle:
    """Figures of a list of Kineto events whose times are whole nanoseconds."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = [
            {**e, "start": round(e["ts"] * 1000), "end": round(e["ts"] * 1000) + round(e["dur"] * 1000)} for e in events
        ]
        of = self._of
        self.operators, self.calls = of("cpu_op"), of("cuda_runtime") + of("cuda_driver")
        self.kernels = sorted(of("kernel"), key=lambda e: e["start"])
        self.work = self.kernels + of("gpu_memcpy")
        self.launches = [c for c in self.calls if "Launch" in c["name"]]
        self.launch_of = {id(k): self._launch(k) for k in self.kernels}
        self.paired = [k for k in self.kernels if self.launch_of[id(k)]]
        self.head = [k for k in self.kernels if self._is_head(k)]
        self.attributed: list[dict[str, Any]] = []
        seen: set[int] = set()
        for kernel in self.paired:
            launch = id(self.launch_of[id(kernel)])
            if launch not in seen:
                seen.add(launch)
                self.attributed.append(kernel)

    def _of(self, category: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["cat"] == category]

    def _launch(self, kernel: dict[str, Any]) -> dict[str, Any] | None:
        mine = [c for c in self.launches if c["args"]["correlation"] == kernel["args"]["correlation"]]
        return min(mine, key=lambda c: (c["start"], -c["end"])) if mine else None

    def _is_head(self, kernel: dict[str, Any]) -> bool:
        if self.launch_of[id(kernel)] or not self.launches:
            return False
        if kernel["args"]["correlation"] < min(c["args"]["correlation"] for c in self.launches):
            return True
        stream = [k for k in self.paired if (k["pid"], k["tid"]) == (kernel["pid"], kernel["tid"])]
        return bool(stream) and kernel["start"] < min(k["start"] for k in stream)

    def linked(self, kernel: dict[str, Any]) -> dict[str, Any] | None:
        """Return the innermost operator open at the launch of ``kernel``."""
        launch = self.launch_of[id(kernel)]
        if launch is None:
            return None
        around = [o for o in self.operators if o["tid"] == launch["tid"] and o["start"] <= launch["start"] <= o["end"]]
        return max(around, key=lambda o: (o["start"], -o["end"])) if around else None

    def metrics(self) -> dict[str, Any]:
        """Return the figures by name."""
        pairs = [(k, self.launch_of[id(k)]) for k in self.attributed]
        latency = [k["start"] - c["start"] for k, c in pairs if c]
        graph = ["GraphLaunch" in c["name"] for _, c in pairs if c]
        queue = [max(0, k["start"] - c["end"]) for k, c in pairs if c]
        early = [max(0, c["end"] - k["start"]) for k, c in pairs if c]
        call = [c["end"] - c["start"] for _, c in pairs if c]
        known = bool(pairs)
        found: dict[str, Any] = {
            "kernel_count": len(self.kernels), "paired_kernel_count": len(self.paired),
            "head_kernel_count": len(self.head),
            "orphan_kernel_count": len(self.kernels) - len(self.paired) - len(self.head),
            "graph_kernel_count": sum("GraphLaunch" in self.launch_of[id(k)]["name"] for k in self.paired),  # type: ignore[index]
            "launch_count": len(pairs), "graph_launch_count": sum(graph),
            "launch_api_counts": dict(Counter(c["name"] for c in self.launches)),
            "stream_count": len({(k["pid"], k["tid"]) for k in self.kernels}),
            "device_count": len({k["pid"] for k in self.kernels}),
            "kernel_time_us": us(total(self.kernels)), "paired_kernel_time_us": us(total(self.paired)),
            "head_kernel_time_us": us(total(self.head)),
            "op_linked_kernel_count": sum(self.linked(k) is not None for k in self.kernels),
            "negative_latency_count": sum(t < 0 for t in latency),
        }  # fmt: skip
        sums = {
            "tklqt_us": sum(latency), "tklqt_clamped_us": sum(max(0, t) for t in latency),
            "tklqt_graph_us": sum(t for t, g in zip(latency, graph, strict=True) if g),
            "tklqt_stream_us": sum(t for t, g in zip(latency, graph, strict=True) if not g),
            "tklqt_every_kernel_us": sum(k["start"] - self.launch_of[id(k)]["start"] for k in self.paired),  # type: ignore[index]
            "queue_every_kernel_us": sum(max(0, k["start"] - self.launch_of[id(k)]["end"]) for k in self.paired),  # type: ignore[index]
            "launch_call_us": sum(call), "queue_us": sum(queue), "early_start_us": sum(early),
        }  # fmt: skip
        found |= {name: us(value) if known else None for name, value in sums.items()}
        return found | self._extents()

    def _extents(self) -> dict[str, Any]:
        devices = defaultdict(list)
        for event in self.work:
            devices[event["pid"]].append(event)
        busy = sum(len(covered(group)) for group in devices.values())
        span = sum(max(e["end"] for e in g) - min(e["start"] for e in g) for g in devices.values())
        found: dict[str, Any] = {
            "gpu_busy_us": us(busy), "gpu_span_us": us(span) if devices else None,
            "gpu_idle_us": us(span - busy) if devices else None,
            "cpu_op_busy_us": us(len(covered(self.operators))) if self.operators else None,
        }  # fmt: skip
        headed = {id(k) for k in self.head}
        counted = [k for k in self.kernels if id(k) not in headed]
        if not counted or not self.operators:
            return found
        low, high = min(o["start"] for o in self.operators), max(k["end"] for k in counted)
        inside = sum(len({t for t in covered(g) if low <= t < high}) for g in devices.values())
        operators = len({t for t in covered(self.operators) if low <= t < high})
        return found | {
            "inference_latency_us": us(high - low), "skip_gpu_idle_us": us(high - low - total(counted)),
            "gpu_busy_in_il_us": us(inside), "gpu_idle_in_il_us": us((high - low) * len(devices) - inside),
            "cpu_idle_in_il_us": us(high - low - operators),
        }  # fmt: skip

    def idle(self) -> tuple[int, int, int]:
        """Return host wait, kernel wait and other, ns, one nanosecond after the other."""
        parts = [0, 0, 0]
        devices = defaultdict(list)
        for event in self.events:
            if event["cat"] in ("kernel", "gpu_memcpy"):
                devices[event["pid"]].append(event)
        for group in devices.values():
            busy = covered(group)
            for moment in range(min(e["start"] for e in group), max(e["end"] for e in group)):
                if moment not in busy:
                    ending = min((e for e in group if e["start"] > moment), key=lambda e: e["start"])
                    starts = [
                        c["start"] for c in self.calls if c["args"]["correlation"] == ending["args"]["correlation"]
                    ]
                    parts[2 if not starts else 0 if moment < min(starts) else 1] += 1
        return parts[0], parts[1], parts[2]


def covered(events: list[dict[str, Any]]) -> set[int]:
    """Return every nanosecond in which some event runs."""
    return {t for e in events for t in range(e["start"], e["end"])}


def total(events: list[dict[str, Any]]) -> int:
    """Return the sum of durations, ns."""
    return sum(e["end"] - e["start"] for e in events)


def us(nanoseconds: int) -> float:
    """Return microseconds."""
    return nanoseconds / 1000
