"""The knowledge base: what was seen, expected and decided. One writer (`store`), read-only readers (`queries`)."""
