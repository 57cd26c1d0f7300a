"""`fulfillment topics`."""

import asyncio
from datetime import timedelta

import typer
from rich.console import Console
from rich.table import Table

from ops.commands.auditing import record
from ops.commands.options import load_settings
from ops.commands.tables import table
from streams.runtime.settings import Settings
from streams.topics import TopicDescription

topics = typer.Typer(no_args_is_help=True, help="Create, list and adopt the Kafka topics.")


@topics.command("create")
def create_topics() -> None:
    """Create missing topics and correct the settings of others; exit with 69 if a topic has to be changed by hand.

    Settings without which records could be lost are corrected. The number of partitions, the cleanup policy and the
    retention time of a topic are never changed. Remaining problems are printed.
    """
    from ops.stack.up import ensure_topics

    settings = load_settings()
    created = asyncio.run(ensure_topics(settings))
    typer.echo(f"created {', '.join(created)}" if created else "all topics exist")
    _print_problems(settings)


@topics.command("adopt")
def adopt_topics() -> None:
    """Continue with topics that were deleted and created again; stop the workers that read them first."""
    from ops.kafka.adopt import adopt

    settings = load_settings()
    record(settings, "adopt topics", "all topics")
    typer.echo("\n".join(asyncio.run(adopt(settings))) or "no topic was replaced: there is nothing to adopt")


@topics.command("list")
def list_topics() -> None:
    """List the topics and their problems."""
    from streams.topics import describe_topics

    settings = load_settings()
    Console().print(topics_table(asyncio.run(describe_topics(settings))))
    _print_problems(settings)


def _print_problems(settings: Settings) -> None:
    from ops.kafka.topics import problems

    for each in asyncio.run(problems(settings)):
        typer.echo(f"{each.found}; {each.remedy}", err=True)


def topics_table(topics: list[TopicDescription]) -> Table:
    """Return the topics with their partitions, replicas and retention."""
    found = table("topic", "partitions", "replicas", "cleanup", "retention")
    for topic in topics:
        sizes = (str(topic.partitions), str(topic.replicas))
        found.add_row(topic.name, *sizes, topic.cleanup_policy, _retention(topic))
    return found


def _retention(topic: TopicDescription) -> str:
    if topic.cleanup_policy == "compact":
        return "latest per key"
    return "forever" if topic.retention_ms < 0 else str(timedelta(milliseconds=topic.retention_ms))
