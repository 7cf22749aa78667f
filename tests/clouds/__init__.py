"""Simulated clouds: provider plugins for the real Pulumi engine, strict and without an account.

`pulumi-resource-gcp`, `-aws` and `-azure-native` in bin/ speak the ResourceProvider protocol.
What they know of the clouds is their own: nothing here may import the package under test.
"""
