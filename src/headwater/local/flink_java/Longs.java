package org.headwater.flink;

import org.apache.flink.table.functions.AggregateFunction;

/** Measures over whole numbers that come and go. */
public final class Longs {
  private Longs() {}

  /** What is kept of the values. */
  public static class Held extends Counted.Kept<Long> {}

  /** What all of them begin with. */
  public abstract static class Values<T> extends Counted<T, Long, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }
  }

  public static class Minimum extends Values<Long> {
    @Override
    protected boolean beyond(Long one, Long other) {
      return Long.compare(one, other) < 0;
    }

    @Override
    public Long getValue(Held held) {
      return held.edge;
    }
  }

  public static class Maximum extends Values<Long> {
    @Override
    protected boolean beyond(Long one, Long other) {
      return Long.compare(one, other) > 0;
    }

    @Override
    public Long getValue(Held held) {
      return held.edge;
    }
  }

  public static class Distinct extends Values<Long> {
    @Override
    public Long getValue(Held held) {
      return held.different;
    }
  }

  /** A sum with how many values are in it. */
  public static class Sum {
    public Long amount = 0L;
    public Long given = 0L;
  }

  /** The sum of what is in, null where nothing is; beyond 64 bits the job ends, for it must not wrap. */
  public static class Total extends AggregateFunction<Long, Sum> {
    @Override
    public Sum createAccumulator() {
      return new Sum();
    }

    public void accumulate(Sum sum, Long value, Long sign) {
      if (value != null) {
        sum.amount = sign > 0 ? Math.addExact(sum.amount, value) : Math.subtractExact(sum.amount, value);
        sum.given += sign;
      }
    }

    @Override
    public Long getValue(Sum sum) {
      return sum.given > 0 ? sum.amount : null;
    }
  }
}
