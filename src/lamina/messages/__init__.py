"""Texts for people: values without secrets in them, and what the messages of other programs mean."""
