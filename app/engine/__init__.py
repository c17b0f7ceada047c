"""The web side of the engines: who starts, asks and ends an engine process, and what fits the budget."""


class Observer:
    """Told by the speech rooms, from any thread, what they do; this one listens to nothing."""

    def note(self, metric: str, value: float, *labels: str) -> None:
        """
        Add to a counter, set a gauge, or observe a time, in seconds; returns at once.

        The tables of `app/monitoring/metrics.py` have every *metric*, and what its *labels* say.
        """
