"""The system below everything else: processes, files, sockets, locks, clocks."""
