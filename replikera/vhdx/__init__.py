"""VHDX disks (MS-VHDX): fixed and dynamic files, read and written through `replikera.ports.files`."""

from replikera.vhdx.creation import create_image
from replikera.vhdx.errors import VhdxError
from replikera.vhdx.image import Image, ImageKind
from replikera.vhdx.opening import open_image

__all__ = ["Image", "ImageKind", "VhdxError", "create_image", "open_image"]
