"""Kafka microbatches for AI APIs: items in, one API call per microbatch, ordered results out.

    source ──► window ──► admission ──► call ──► sequencer ──► sink ──► commit
"""
