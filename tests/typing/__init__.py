"""Programs as users write them, which are never run: mypy and pyright must find nothing in them."""
