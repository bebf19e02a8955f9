"""What the coordinator, the agent and the operator's commands share. Imports neither daemon."""
