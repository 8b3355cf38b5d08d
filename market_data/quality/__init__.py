"""Checks of market data: what is wrong with bars, where, how badly, by which evidence.

`check_columns` takes any arrays, also those that an import would refuse.
Every check is a pure function over arrays; thresholds are in `limits`, each
with its reason. A finding of warning or error on sound data is a defect here.
"""
