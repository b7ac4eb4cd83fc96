"""Who is seen: drawn factors become a person, by rules about people."""
