"""The page: one module per tab, each turning widgets into an effect's settings."""
