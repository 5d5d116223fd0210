"""The session and what it is made of: steps that decide, shells that send. Import from `psqlmodel` itself."""
