"""The opus child: sound of streams as Opus, once a stream, for those who ask (WebRTC).

Decoders and encoders are opened for as long as somebody sends frames. Nobody waits for this process
and nobody's pictures pass it.
"""
