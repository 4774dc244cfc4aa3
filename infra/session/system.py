"""The system's functions as they were when the session began.

Tests replace those of the module `os`, and pyfakefs replaces the module itself wherever it is
imported; for a case, or for a whole class, module or session. What we ask and tell must go on.
"""

from __future__ import annotations

import os
import resource


class System:
    """Held by a class: what stands in a module is found and replaced."""

    chdir = staticmethod(os.chdir)
    close = staticmethod(os.close)
    exit = staticmethod(os._exit)
    fstat = staticmethod(os.fstat)
    ftruncate = staticmethod(os.ftruncate)
    getcwd = staticmethod(os.getcwd)
    getpid = staticmethod(os.getpid)
    getrusage = staticmethod(resource.getrusage)
    isdir = staticmethod(os.path.isdir)
    isfile = staticmethod(os.path.isfile)
    lseek = staticmethod(os.lseek)
    pread = staticmethod(os.pread)
    read = staticmethod(os.read)
    walk = staticmethod(os.walk)
    write = staticmethod(os.write)
