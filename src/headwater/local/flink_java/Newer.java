package org.headwater.flink;

import org.apache.flink.table.functions.AggregateFunction;

/** Whether a revision is above all before it: another of the same number is a repeat, a lower one superseded. */
public class Newer extends AggregateFunction<Boolean, Newer.Known> {
  /** The highest revision, and whether the last one was above those before it. */
  public static class Known {
    public Long highest = 0L;
    public Boolean above = false;
  }

  @Override
  public Known createAccumulator() {
    return new Known();
  }

  public void accumulate(Known known, Long revision) {
    known.above = revision > known.highest;
    known.highest = Math.max(known.highest, revision);
  }

  @Override
  public Boolean getValue(Known known) {
    return known.above;
  }
}
