"""The steps a flow is made of: pure functions over the changes of one tick, with the state they declare."""
