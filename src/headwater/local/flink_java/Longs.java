package org.headwater.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Measures over whole numbers that come (sign 1) and go (sign -1) in any order: for each value it is kept how often it is in,
 * so that what goes can be taken out again. Null does not count.
 */
public final class Longs {
  private Longs() {}

  /** How often each value is in, how many are in at all, and the one that counts most. */
  public static class Held {
    @DataTypeHint("MAP<BIGINT, BIGINT>")
    public MapView<Long, Long> times = new MapView<>();

    public Long different = 0L;
    public Long edge;
  }

  /** What all of them do with a value. */
  public abstract static class Values<T> extends AggregateFunction<T, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }

    /** Whether one value stands before another at the edge that is asked for. */
    protected boolean beyond(Long one, Long other) {
      return false;
    }

    protected void hold(Held held, Long value, Long sign) throws Exception {
      if (value == null) {
        return;
      }
      Long known = held.times.get(value);
      long was = known == null ? 0 : known;
      long now = was + sign;
      if (now == 0) {
        held.times.remove(value);
      } else {
        held.times.put(value, now);
      }
      if (was <= 0 && now > 0) {
        held.different += 1;
        if (held.edge == null || beyond(value, held.edge)) {
          held.edge = value;
        }
      } else if (was > 0 && now <= 0) {
        held.different -= 1;
        if (value.equals(held.edge)) {
          held.edge = sought(held);
        }
      }
    }

    private Long sought(Held held) throws Exception {
      Long found = null;
      for (var entry : held.times.entries()) {
        if (entry.getValue() > 0 && (found == null || beyond(entry.getKey(), found))) {
          found = entry.getKey();
        }
      }
      return found;
    }
  }

  public static class Minimum extends Values<Long> {
    public void accumulate(Held held, Long value, Long sign) throws Exception {
      hold(held, value, sign);
    }

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
    public void accumulate(Held held, Long value, Long sign) throws Exception {
      hold(held, value, sign);
    }

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
    public void accumulate(Held held, Long value, Long sign) throws Exception {
      hold(held, value, sign);
    }

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
