"""The process that ends HTTP's TLS: `python -P -m ingest.https --listen HOST:PORT …`."""

from common.process.signals import hold_signals

hold_signals()

from ingest.tls.start import main  # noqa: E402

if __name__ == "__main__":
    main("https", "web", __doc__)
