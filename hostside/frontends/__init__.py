"""The ways to show a disk to its users: one module per way, all behind base.Frontend."""
