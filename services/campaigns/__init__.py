"""Campaigns: one message to everybody in a segment, each in their own words.

Owns campaigns, the ledger of their recipients, and the links in their mails. Its rules:
each recipient gets at most one message and each address at most one in a campaign; nobody is silently skipped,
everyone in the audience has a row with a state and a reason; a row's state moves forward only.

Life of a campaign: campaigns.py (draft, schedule), launch.py (checks, freezing), planning.py with ledger.py
(the audience becomes rows and events), outcomes.py (what became of the messages), tracking.py (opens, clicks),
results.py and explain.py (the answers).
"""
