from projections.table import PROJECTIONS
from streams.runtime.settings import ROLES
from streams.topics import CUSTOMER_KEYS, MESSAGE_TOPICS, TOPICS, WEBHOOKS
from streams.topology import AGGREGATES, TOPOLOGY


def test_every_role_is_wired():
    assert set(TOPOLOGY) == set(ROLES)


def test_every_topic_has_a_writer_and_a_reader_and_every_changelog_one_owner():
    wired = TOPOLOGY.values()
    written = {topic for wiring in wired for topic in wiring.writes}
    read = {topic for wiring in wired for topic in (*wiring.reads, *wiring.follows)}
    assert written == read == {*MESSAGE_TOPICS, CUSTOMER_KEYS, WEBHOOKS}
    assert sorted(wiring.table.name for wiring in wired if wiring.table) == sorted(
        topic.name for topic in TOPICS if topic not in (*MESSAGE_TOPICS, WEBHOOKS)
    )


def test_an_aggregate_reads_its_commands_and_writes_its_events():
    for aggregate in AGGREGATES.values():
        assert TOPOLOGY[aggregate.role].reads == (aggregate.commands,)
        assert aggregate.events in TOPOLOGY[aggregate.role].writes


def test_the_projector_reads_what_projections_are_made_of():
    assert set(TOPOLOGY["projector"].reads) == {projection.topic for projection in PROJECTIONS}
