"""What the speech rooms tell of their work; this one listens to nothing."""


class Observer:
    """Told by any thread; returns at once and raises nothing. *engine* is its name; times are in seconds."""

    def seats(self, engine: str, taken: int) -> None:
        """So many sessions are open now."""

    def waited(self, engine: str, seconds: float) -> None:
        """A session got its first turn after that long."""

    def started(self, engine: str) -> None:
        """A process was started."""

    def ready(self, engine: str, seconds: float) -> None:
        """A new process gave its first answer, that long after it was started."""

    def ended(self, engine: str, reason: str) -> None:
        """A process ended: "idle", "evicted", "unloaded", "closed", "timeout", "killed" or "died"."""

    def refused(self, engine: str, reason: str) -> None:
        """A session was refused: "queue_full" or "insufficient_memory"."""

    def transcribed(self, audio_seconds: float, seconds: float) -> None:
        """A recording was transcribed to its end."""

    def spoke(self, synthesizer: str, audio_seconds: float, seconds: float) -> None:
        """A text was spoken to its end."""

    def looked_up(self, found: bool) -> None:
        """The cache was asked for speech."""

    def breaker(self, synthesizer: str, open: bool) -> None:
        """A circuit breaker is in that state now."""
