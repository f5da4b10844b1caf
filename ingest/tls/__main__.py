"""The process that ends RTMP's TLS: `python -P -m ingest.tls --listen HOST:PORT …`."""

from common.process.signals import hold_signals

hold_signals()

from ingest.tls.start import main  # noqa: E402

if __name__ == "__main__":
    main("tls", "ingest", __doc__)
