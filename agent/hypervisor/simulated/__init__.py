"""A hypervisor made of folders: real VHDX files, guests that are processes, changed ranges as RCT reports them."""
