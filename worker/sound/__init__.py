"""The sound child: sound of streams as Opus or AAC-LC, once a stream and form, for those who ask.

Decoders and encoders are opened for as long as somebody sends frames. Nobody waits for this process
and nobody's pictures pass it.
"""
