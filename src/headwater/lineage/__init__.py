"""What comes from what: products, their fields, and who reads them."""
