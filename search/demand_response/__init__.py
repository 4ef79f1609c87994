"""Demand response: lowering, raising and moving power and work by the carbon intensity of the hour."""
