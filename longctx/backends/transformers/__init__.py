"""The engine on transformers: load, quantize, prefill, decode, measure. The only room that knows torch."""
