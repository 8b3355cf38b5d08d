"""Benchmarks: how fast the platform is, measured beside its peers.

Owns the runs behind `make bench`: each benchmark times the platform and a peer
in one run, in turns, so that the machine's mood hits both, and fails itself
when the two did not do the same work. Peers live in throw-away environments
under the data home and are never imported by the product or its tests; the
package must stay importable from those environments, so its top imports
nothing.
"""
