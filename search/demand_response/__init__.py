"""Demand response: a fleet lowers its power in carbon-intensive hours, at a penalty that differs by workload.

The setting follows the abstract of Carbon Responder (arXiv 2311.08589): online and batch workloads, and policies that
trade carbon against penalty more or less fairly. Its traces are private, so none of its figures is claimed here.
Only operational carbon counts: embodied carbon of hardware that exists is sunk and steers no schedule.
"""
