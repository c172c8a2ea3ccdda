"""Doors of identity over gRPC: one file a gRPC service."""
