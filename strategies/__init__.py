"""The catalogue: strategy versions, their lifecycle stage and their runs.

Owns which strategies exist, in which versions, how far each version has come
and on what evidence, and which backtests were run of it. Does not read, check
or run a document: to the catalogue it is text with a hash.
"""
