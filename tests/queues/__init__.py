"""Queues: their surface, the order of priority queues, and redelivery."""
