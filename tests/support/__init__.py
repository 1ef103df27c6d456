"""What tests stand on: servers, faults, processes, hosts, and the check for what is left behind."""
