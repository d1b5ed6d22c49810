"""Files that others wrote, mutated by seeded mutators, through the functions that the commands call.

A case is named by its kind and its number (`recipe.yaml-17`): the same name gives the same bytes and the same call, so
a failure is reproduced by its name. CONTRIBUTING.md tells how many are run, and how to run one.
"""
