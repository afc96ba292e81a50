"""Eyes: metrics of what the roads announce."""
