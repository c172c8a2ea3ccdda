"""The microservice chassis: plumbing that every service stands on.

It knows no business noun. Configuration, database sessions, outbox and inbox,
the bus, the gRPC server and client, authentication, errors, paging, filters,
telemetry, the clock and the runner live here.
"""
