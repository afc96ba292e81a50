"""What each code means, why it matters and how to mend it: kept in one place, read by commands and pages."""
