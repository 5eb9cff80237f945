"""The gate that every answer passes, and the receipt that it leaves."""
