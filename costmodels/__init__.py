"""Cost models: what a workload on a target costs in time, energy, carbon and money."""
