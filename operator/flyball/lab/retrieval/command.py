"""`flyball retrieval`: a small retrieval application in front of a model server."""

import asyncio

import click

from flyball.lab.retrieval.server import RetrievalConfig, serve


@click.command(name="retrieval", context_settings={"show_default": True})
@click.option("--model-url", required=True, help="Base URL of the model server, such as http://chat:8000.")
@click.option("--otlp-endpoint", required=True, help="Where spans go (OTLP over HTTP), such as http://collector:4318.")
@click.option("--model-name", default="chat-8b", help="Name of the served model.")
@click.option("--service", default="shop", help="service.name of the spans.")
@click.option("--max-tokens", default=40, help="Output tokens of an answer.")
@click.option("--host", default="0.0.0.0", help="Address to listen on.")  # noqa: S104
@click.option("--port", default=8080, help="Port to listen on.")
def retrieval(
    model_url: str, otlp_endpoint: str, model_name: str, service: str, max_tokens: int, host: str, port: int
) -> None:
    """Answer questions through retrieval, rerank, prompt assembly, a model, post-processing and serialization."""
    try:
        asyncio.run(serve(RetrievalConfig(model_url, otlp_endpoint, model_name, service, max_tokens, host, port)))
    except OSError as error:
        raise click.ClickException(str(error)) from error
