"""Back ends compile and run edited programs: XLA through jaxlib, the ATen graph through torch, IREE."""
