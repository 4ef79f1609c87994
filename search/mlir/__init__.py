"""Program search: GEVO-style edits of StableHLO and ATen programs."""
