"""Where bars and corporate actions come from: files and vendors behind one protocol.

Owns what is asked of a source, what it answers, when it is asked again, and
which days it has answered already, and has the store keep what comes after the
checks of an import. Knows no vendor outside the vendor's own module; whoever
wants bars calls `market_data.ingestion`. Vendors' libraries are imported when a
vendor is asked.
"""
