from flyball_cluster.firewall import parse_tables, removal_script, unused_tables

BEFORE = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:KUBE-THEIRS - [0:0]
-A FORWARD -j DOCKER
-A FORWARD -j KUBE-THEIRS
COMMIT
"""
NOW = """\
# a comment
*filter
:INPUT ACCEPT [3:180]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:KUBE-THEIRS - [0:0]
:KUBE-SERVICES - [0:0]
:FLYBALL-FORWARD - [0:0]
-A FORWARD -j FLYBALL-FORWARD
-A FORWARD -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -j DOCKER
-A FORWARD -j KUBE-THEIRS
-A KUBE-SERVICES -j FLYBALL-FORWARD
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SVC-1 - [0:0]
-A PREROUTING -j KUBE-SVC-1
COMMIT
"""


def test_only_what_came_since_the_snapshot_is_removed() -> None:
    assert removal_script(parse_tables(NOW), parse_tables(BEFORE)) == (
        "*filter\n"
        ":FLYBALL-FORWARD - [0:0]\n"
        ":KUBE-SERVICES - [0:0]\n"
        "-D FORWARD -j FLYBALL-FORWARD\n"
        '-D FORWARD -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n'
        "-X FLYBALL-FORWARD\n"
        "-X KUBE-SERVICES\n"
        "COMMIT\n"
        "*nat\n"
        ":KUBE-SVC-1 - [0:0]\n"
        "-D PREROUTING -j KUBE-SVC-1\n"
        "-X KUBE-SVC-1\n"
        "COMMIT\n"
    )


def test_nothing_is_removed_when_nothing_came() -> None:
    assert removal_script(parse_tables(BEFORE), parse_tables(BEFORE)) == ""


def test_a_table_goes_only_when_it_is_new_and_empty() -> None:
    emptied = parse_tables(
        "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*raw\n:PREROUTING ACCEPT [0:0]\n:X - [0:0]\nCOMMIT\n"
    )

    assert unused_tables(emptied, parse_tables(BEFORE)) == ["nat"]
    assert unused_tables(emptied, emptied) == []
