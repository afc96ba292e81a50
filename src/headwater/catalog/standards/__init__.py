"""The contract standards of others: one module for each, made from a product; ODCS is read as well."""
