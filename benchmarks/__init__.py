"""One module for each benchmark: a table for people, a JSON file for machines. The packages never import it."""
