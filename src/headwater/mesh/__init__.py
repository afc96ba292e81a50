"""The folder read whole: products with their schemas resolved, and what must hold between them."""
