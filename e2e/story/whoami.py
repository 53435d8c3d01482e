"""A backend that says who it is, over HTTP on port 8000 and over gRPC on port 8001."""

import os
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

NAME = os.environ["NAME"].encode()


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the name."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(NAME)))
        self.end_headers()
        self.wfile.write(NAME)

    def log_message(self, *_: object) -> None:
        """Say nothing: thousands of requests come."""


def main() -> None:
    """Serve until killed."""
    method = grpc.unary_unary_rpc_method_handler(lambda _request, _context: NAME)
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("flyball.Who", {"Ask": method}),))
    server.add_insecure_port("[::]:8001")
    server.start()
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()


if __name__ == "__main__":
    main()
