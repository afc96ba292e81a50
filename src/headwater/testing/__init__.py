"""The proving ground: fakes, oracles and conformance suites that ship to users; nothing above imports it."""
