"""What products exist, what depends on them, and how they look to other tools."""
