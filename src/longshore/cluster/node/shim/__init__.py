"""What holds one container: a small process, apart from the node, so that neither exit code nor log dies with the node.

Standard library only: the node starts `python -m longshore.cluster.node.shim` once, which forks a holder per container.
"""
