"""Texts that are generated, as they are expected to the letter."""
