"""contacts: who the company knows, how they can be reached, and what they allowed.

Owns people and their addresses, attributes, companies and memberships, the consent ledger, segments, the timeline
and imports. Its rules: an address belongs to a person and may be shared by several (families do); consent is a
ledger whose newest entry for a person, purpose and channel is in force; a segment is a description, evaluated when
it is used; a row of a file that is wrong is reported and stops nothing else; a file never overturns a withdrawal.
"""
