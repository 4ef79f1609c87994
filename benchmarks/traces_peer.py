"""What ``traces.py`` runs in the peer's environment: traceinsight's parse and five standard analyses of one trace.

Its best settings: exact nanoseconds, the last profiler step kept, one rank and so no worker processes, no plots.

    PEER/bin/python benchmarks/traces_peer.py TRACE json|ijson_batch_and_compress
"""

from __future__ import annotations

import os
import sys

os.environ["HTA_DISABLE_NS_ROUNDING"] = "1"

from hta.common.trace_parser import set_default_trace_parsing_backend
from hta.configs.parser_config import ParserBackend
from hta.trace_analysis import TraceAnalysis

trace, backend = sys.argv[1:]
set_default_trace_parsing_backend(ParserBackend(backend))
analysis = TraceAnalysis({0: os.path.abspath(trace)}, "/", include_last_profiler_step=True)
analysis.get_temporal_breakdown(visualize=False)
analysis.get_gpu_kernel_breakdown(visualize=False)
analysis.get_idle_time_breakdown(visualize=False, visualize_pctg=False)
analysis.get_comm_comp_overlap(visualize=False)
analysis.get_cuda_kernel_launch_stats(visualize=False)
