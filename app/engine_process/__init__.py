"""
What an engine process runs; the web worker never imports this package.

An engine is a class with `open(header) -> Iterator[Message | None]`: a session yields what it finds and
yields None where a step ends and another session may take its turn. It raises `protocol.Refused` when the
request is at fault. `__main__` serves one such engine over the pipes.
"""
