"""Programs that the tests run inside the guest: python3 -m tests.system.guest.programs.NAME."""
