"""Scaffold: a new environment's folder, written from the answers to five questions, that works before it is changed."""
