"""Dagster definitions: jobs, sensors and resources around the assets.

Owns what an admin finds in Dagster's UI and how it is set up. The assets
themselves are in `assets`; `workspace.yaml` points to `pipelines.definitions`.
"""
