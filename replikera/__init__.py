"""What the coordinator, the agent and the operator's commands share. Imports neither daemon."""

import os

# gRPC reads this list once, when it is first imported: therefore here, before any module of ours can import it.
# Only TLS 1.2 uses the list and no certificate of ours is RSA, so TLS 1.3 is what remains, whatever was set outside.
os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES256-GCM-SHA384"
# Its own lines on standard error would stand beside ours and say the same in other words.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
