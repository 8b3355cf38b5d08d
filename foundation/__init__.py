"""What everything stands on: settings, database, files, clock, telemetry, errors.

Owns the ways in which the platform reads its settings, opens its database,
writes files that are whole or absent, tells the time and reports on itself.
Knows nothing of markets, strategies or money, and imports nothing of ours.
Importing a module here connects to nothing and reads no environment.
"""
