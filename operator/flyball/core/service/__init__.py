"""How requests fare: objectives, stages, segments, GPUs with their queue, tokens, caches, reliability."""
