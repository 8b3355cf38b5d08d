"""Runs backtests and sweeps over stored bars, and tells what came out.

Owns running, results, statistics over them, charts, tables and the report.
Knows neither Dagster nor Streamlit: jobs and screens call what is here.
"""
