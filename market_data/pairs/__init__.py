"""Two or more sources of one instrument: aligned, compared, merged.

Owns how bars of two series are matched (`matching`, `offset`, `boundary`), in
which money they are (`scale`), how far apart they may be (`tolerance`), what
every disagreement is (`disagreement`, `comparison`) and the one series made of
several (`merging`). Reads and writes bars through the store only; draws
nothing, and knows neither Dagster nor the record of backtests.
"""
