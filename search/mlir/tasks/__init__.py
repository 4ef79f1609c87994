"""Tasks: the data a program is judged on, and how far its answers are from right."""
