"""What hosts talk to: enrolment, and the host session. Protobuf ends here."""
