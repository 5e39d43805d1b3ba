"""What the README claims, measured: each module prints one table."""
