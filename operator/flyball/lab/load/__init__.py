"""The load generator: plays a trace against an OpenAI-compatible server and measures each request as the client saw
it.
"""
