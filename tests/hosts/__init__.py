"""The verification of hosts: what each role promises, seen from outside and on the host itself."""
