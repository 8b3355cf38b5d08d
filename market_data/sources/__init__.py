"""Where bars and corporate actions come from: files and vendors behind one protocol.

Owns what is asked of a source, what it answers, when it is asked again, and
which days it has answered already. Knows no vendor outside the vendor's own
module, and judges no bar: `market_data.ingestion` checks what comes and has
the store keep it. Vendors' libraries are imported when a vendor is asked.
"""
