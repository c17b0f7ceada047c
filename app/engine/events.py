"""What the speech rooms tell of their work."""


class Observer:
    """Told by any thread; this one listens to nothing."""

    def note(self, metric: str, value: float, *labels: str) -> None:
        """
        Add to a counter, set a gauge, or observe a time, in seconds; returns at once.

        The tables of `app/monitoring/metrics.py` have every *metric*, and what its *labels* say.
        """
