"""The gRPC door: one file a service of the contract."""
