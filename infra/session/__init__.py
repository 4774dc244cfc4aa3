"""The half of the runner that lives in the user's interpreter: a warm pytest session on commands.

It needs pytest 7.0 or newer and the standard library of Python 3.9 or newer, and must never import
Proctor: the user's environment has none. There it is loaded by path under a private name, for any
other could be a module of the user's. So everything here imports its neighbours relatively, and
nothing above this folder.
"""
