"""`fulfillment topics`."""

import asyncio
from datetime import timedelta

import typer
from rich.console import Console
from rich.table import Table

from ops.commands.options import load_settings
from ops.commands.tables import table
from streams.topics import TopicDescription

topics = typer.Typer(no_args_is_help=True, help="Create, list and adopt the Kafka topics.")


@topics.command("create")
def create_topics() -> None:
    """Create missing topics and set broker timestamps on all; exit with 69 if a topic has the wrong configuration."""
    from ops.stack.up import ensure_topics

    created = asyncio.run(ensure_topics(load_settings()))
    typer.echo(f"created {', '.join(created)}" if created else "all topics exist")


@topics.command("adopt")
def adopt_topics() -> None:
    """Continue with topics that were deleted and created again; stop the workers that read them first."""
    from ops.kafka.adopt import adopt

    typer.echo("\n".join(asyncio.run(adopt(load_settings()))) or "no topic was replaced: there is nothing to adopt")


@topics.command("list")
def list_topics() -> None:
    """List the topics."""
    from streams.topics import describe_topics

    Console().print(topics_table(asyncio.run(describe_topics(load_settings()))))


def topics_table(topics: list[TopicDescription]) -> Table:
    """Return the topics with their partitions and retention."""
    found = table("topic", "partitions", "cleanup", "retention")
    for topic in topics:
        found.add_row(topic.name, str(topic.partitions), topic.cleanup_policy, _retention(topic))
    return found


def _retention(topic: TopicDescription) -> str:
    if topic.cleanup_policy == "compact":
        return "latest per key"
    return "forever" if topic.retention_ms < 0 else str(timedelta(milliseconds=topic.retention_ms))
