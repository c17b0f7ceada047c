"""Coverage-guided fuzzing of our own parsers: `make fuzz`, and a minute of it in `make test`."""
