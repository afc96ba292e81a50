"""One file per system under test; `bench/systems/protocol.py` says what each of them must answer."""
