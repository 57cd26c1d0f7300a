"""Files in and out over HTTP: stock from tables, and orders as tables."""
