"""Search: spaces, engines, Pareto arithmetic, executors and the problems they solve."""
