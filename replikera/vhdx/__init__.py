"""VHDX disks (MS-VHDX) over `replikera.ports.files`: fixed, dynamic and differencing files, read and written."""

from replikera.vhdx.block_map import Extent, ExtentKind
from replikera.vhdx.creation import create_child, create_fixed, create_image
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.image import Image, ImageKind
from replikera.vhdx.opening import open_image, open_path
from replikera.vhdx.parents import Parents, parents_in

__all__ = [
    "Extent",
    "ExtentKind",
    "Image",
    "ImageKind",
    "Parents",
    "VhdxError",
    "create_child",
    "create_fixed",
    "create_image",
    "open_image",
    "open_path",
    "parents_in",
]
