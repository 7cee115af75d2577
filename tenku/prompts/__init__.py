"""Short prompts made full: by the grammar of the miniature world, or by a chat endpoint."""
