"""Prompt expansion: short prompts made full captions by the world's grammar, or by a chat endpoint."""
