"""gateway: the stateless HTTP edge. It owns no data and keeps none: every answer comes from a service over gRPC.

Public pages are for a message's recipient: tracked links, the open pixel, unsubscribe and the preference page; a
signed token in the URL is all the authority they have and need. A GET never changes a consent. When a service is
away the answer is a 5xx with a page that says so, so that people and mail providers try again and nothing is lost.
"""
