"""Why events cannot be used: a fixed list, which is shown as it stands, of recordings too."""

NO_EVENT = "no complete event (ph is not X)"
NO_START = "its start is no number of microseconds"
NO_DURATION = "its duration is no number of microseconds"
NEGATIVE = "its duration is negative"
NO_TIMES = "no usable times"
FAR = "far from all other times"
OTHER_PROCESSES = "of processes without device work"
OTHER = "for a reason that this program does not know"

REASONS = frozenset({NO_EVENT, NO_START, NO_DURATION, NEGATIVE, NO_TIMES, FAR, OTHER_PROCESSES, OTHER})
