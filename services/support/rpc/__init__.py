"""Door: gRPC, a file for each of the service's gRPC services."""
