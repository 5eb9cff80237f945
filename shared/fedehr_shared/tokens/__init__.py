"""From events to the flat stream of tokens that the model reads."""
