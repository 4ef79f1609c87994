"""Latency of single operators: a physical form with a few parameters, times a learned shape term.

``seconds = physics(parameters of this card and software stack, shape) * exp(shape term)``. What does not transfer
between devices (sustained rates, floors) is in the parameters, which a handful of measurements fit; what transfers (how
efficiency varies with the shape) is learned from measured kernels of many devices.
"""
