"""Who may run how much: tenants, their API keys and the fence around them."""
