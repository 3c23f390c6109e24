"""One module or package for each hypervisor."""
