"""Resource quotas: what an object is charged with, and whether a quota bears it. Admission and controller share it."""
