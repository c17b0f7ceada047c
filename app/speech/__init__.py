"""
Speech as the web worker sees it: who transcribes, who speaks, and what they answer.

Nothing here imports Flask, numpy, av, ctranslate2, onnxruntime or gtts: the last five belong to `engine_process/`.
"""
