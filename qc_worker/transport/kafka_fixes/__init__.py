"""Everything that touches kafka-python's private names: one file per defect, `register` and `private_api`."""
