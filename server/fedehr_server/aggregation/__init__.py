"""How the sites' low-rank adapters become one: a file a method, behind `AdapterAggregation`."""
