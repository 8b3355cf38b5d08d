"""Dagster assets: the stored bars, a backtest over them, its report.

Owns what an asset is called, which options it takes, what its materialization
tells and which checks belong to it. Runs nothing itself: `market_data`,
`research` and `strategies` do the work. Jobs, sensors and resources are in
`pipelines`. numba, polars and Plotly are imported while an asset runs, so that
Dagster's own processes load the definitions without them.
"""
