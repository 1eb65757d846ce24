"""Who a certificate names."""

import pytest

from longshore.cluster.node.auth import Caller, from_certificate
from longshore.errors import Unauthenticated


def test_a_certificate_names_user_and_groups() -> None:
    subject = ((("organizationName", "system:masters"),), (("organizationName", "b"),), (("commonName", "me"),))
    assert from_certificate({"subject": subject}) == Caller("me", ("system:masters", "b"))


def test_a_certificate_without_a_name_is_nobodys() -> None:
    with pytest.raises(Unauthenticated):
        from_certificate({"subject": ((("organizationName", "system:masters"),),)})
