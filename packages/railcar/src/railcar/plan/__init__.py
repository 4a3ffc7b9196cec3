"""Decisions made from config.json before anything is done: pure, and tested without root."""
