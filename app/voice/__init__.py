"""The speech rooms.

Nothing here imports Flask. What the web worker imports (speech, engine, budget, wire, models)
never imports numpy, av, ctranslate2, onnxruntime or gtts: those belong to `engines/` and `audio`.
"""
