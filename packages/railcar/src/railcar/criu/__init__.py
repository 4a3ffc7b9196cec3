"""Checkpoint and restore by criu(8), spoken to by its protocol: https://criu.org/RPC"""
