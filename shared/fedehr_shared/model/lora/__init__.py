"""Low-rank adapters: small trained products beside frozen matrices."""
