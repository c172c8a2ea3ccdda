"""The ledger: claim, hand over, record.

A group of messages is claimed under a lease and committed; its parts are marked before a provider gets them;
what the provider said is recorded. Whoever vanishes in between leaves a trail: what was not marked goes out
again, what was answered is recorded, and only what was marked and not answered is UNKNOWN.
"""
