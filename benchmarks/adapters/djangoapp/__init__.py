"""A Django application, so that its models know of each other."""
