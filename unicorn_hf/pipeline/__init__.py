"""Composes the stages: recipe to seeds, captions, instructions, representations, built folder."""
