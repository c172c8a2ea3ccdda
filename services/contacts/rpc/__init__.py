"""Doors of contacts over gRPC: one file a gRPC service."""
