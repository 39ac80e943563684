"""Tools to test rules, published so that users can test their own."""
