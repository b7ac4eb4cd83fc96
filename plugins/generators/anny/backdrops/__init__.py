"""What lies behind the head."""
