"""The version of the engine, by which results and evidence say what made them.

It goes up when the same document and bars may give another result. Alone here,
so that whoever asks for it loads nothing of the engine.
"""

ENGINE_VERSION = "2"
