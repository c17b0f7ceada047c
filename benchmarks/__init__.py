"""
What we claim about memory, speed and accuracy, as commands: `make bench`, or one file alone with
`python -m benchmarks.memory [--quick]`.

Every figure is taken from the real server on the loopback interface, the stock library's beside it from the
same run. Only `stock.py`'s own process imports numpy, av or ctranslate2: a process that shares pages with
the engine would make the engine's PSS look smaller.
"""
