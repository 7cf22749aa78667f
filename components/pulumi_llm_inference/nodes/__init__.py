"""GPU node pools, and the placement that each gives to pods."""
