"""The witness: a second, small reader of VHDX files that digests what a guest would see.

It exists to contradict `replikera.vhdx`, so it shares no code with it: everything here comes from the format's
specification (MS-VHDX) alone. It reads fixed, dynamic and differencing files, with a log that was not applied too, and
refuses what it cannot vouch for by name.
"""

from replikera.lab.witness.digest import digest
from replikera.lab.witness.disk import Disk, Run, open_disk
from replikera.lab.witness.errors import WitnessError

__all__ = ("Disk", "Run", "WitnessError", "digest", "open_disk")
