"""The pure core: strategies, their execution, and what came of them.

Owns indicators, the expression language, the strategy document, sizing,
orders and brackets, fills, costs, decisions and statistics. Does no I/O, reads
no clock and knows no framework: time comes only from events.
"""
