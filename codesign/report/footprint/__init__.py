"""The report of a carbon footprint: one offline page, tables, and a manifest."""
