"""REST: every RPC that has a `google.api.http` rule, by JSON over HTTP, read from the contracts themselves.

There is no route written by hand. A request becomes the RPC's request message, goes to its service with the caller's
own credential, and the answer, or the problem, becomes JSON again; who may call what is decided by the service.
"""
