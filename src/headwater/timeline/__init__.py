"""Time: instants, intervals, recorded time, ticks, progress marks, clocks."""
