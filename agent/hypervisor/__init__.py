"""What the agent asks of a hypervisor, and the drivers that answer."""
