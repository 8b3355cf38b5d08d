"""The expression language of strategy documents.

Owns the syntax tree, the parser, the checks and the resolved form of a strategy
that the linker compiles. Does not own the document's fields
(`trading.document`), the indicators (`trading.indicators`) or the values of
expressions on bars (`trading.linker`).
"""
