"""Notifications: messages to people and what became of them.

This service owns messages and their delivery state, templates, suppressed addresses, the limits on how often
and when people are written to, receipts, and what comes back.

Its rules: a message is handed to a provider at most once, unless the provider surely did not take it. Nobody
is left out without a reason. States only move forward. What is withdrawn or paused before a sender claims it
is not sent. Transactional messages never wait behind campaigns, nor a small campaign behind a large one.
"""
