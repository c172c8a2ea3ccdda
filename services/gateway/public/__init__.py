"""Pages and redirects for the recipients of messages."""
