"""A product's records kept by key beside the topic, so that an answer reads what it needs and not the topic."""
