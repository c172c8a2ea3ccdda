"""Reading mail: what is in it, what of it is new, and who or what wrote it."""
