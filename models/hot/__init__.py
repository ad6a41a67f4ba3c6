"""What is hot now: counts that fade, the items that lead them, and an order that knows the reader as well."""
