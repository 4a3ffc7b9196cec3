"""What several tests of system calls share."""
