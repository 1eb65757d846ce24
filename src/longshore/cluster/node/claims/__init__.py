"""PersistentVolumeClaims as folders of this machine: `provisioner` makes and removes them, `mounted` finds a pod's."""
