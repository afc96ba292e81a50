"""The road through: flows, operators, the engine and its runners."""
