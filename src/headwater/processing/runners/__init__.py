"""Where a flow runs."""
