"""Tests: one folder a service, plus those of the chassis, of the repository itself, of whole stories and of faults."""
