"""The web side of the engines: who starts, asks and ends an engine process, and what fits the budget."""
