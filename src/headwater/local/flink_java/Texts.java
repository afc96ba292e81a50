package org.headwater.flink;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Measures over texts that come (sign 1) and go (sign -1) in any order: for each value it is kept how often it is in,
 * so that what goes can be taken out again. Null does not count.
 */
public final class Texts {
  private Texts() {}

  /** How often each value is in, how many are in at all, and the one that counts most. */
  public static class Held {
    @DataTypeHint("MAP<STRING, BIGINT>")
    public MapView<String, Long> times = new MapView<>();

    public Long different = 0L;
    public String edge;
  }

  /** What all of them do with a value. */
  public abstract static class Values<T> extends AggregateFunction<T, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }

    /** Whether one value stands before another at the edge that is asked for. */
    protected boolean beyond(String one, String other) {
      return false;
    }

    protected void hold(Held held, String value, Long sign) throws Exception {
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

    private String sought(Held held) throws Exception {
      String found = null;
      for (var entry : held.times.entries()) {
        if (entry.getValue() > 0 && (found == null || beyond(entry.getKey(), found))) {
          found = entry.getKey();
        }
      }
      return found;
    }
  }

  public static class Minimum extends Values<String> {
    public void accumulate(Held held, String value, Long sign) throws Exception {
      hold(held, value, sign);
    }

    @Override
    protected boolean beyond(String one, String other) {
      return order(one, other) < 0;
    }

    @Override
    public String getValue(Held held) {
      return held.edge;
    }
  }

  public static class Maximum extends Values<String> {
    public void accumulate(Held held, String value, Long sign) throws Exception {
      hold(held, value, sign);
    }

    @Override
    protected boolean beyond(String one, String other) {
      return order(one, other) > 0;
    }

    @Override
    public String getValue(Held held) {
      return held.edge;
    }
  }

  public static class Distinct extends Values<Long> {
    public void accumulate(Held held, String value, Long sign) throws Exception {
      hold(held, value, sign);
    }

    @Override
    public Long getValue(Held held) {
      return held.different;
    }
  }

  /** The order of code points, which is that of the texts' UTF-8 bytes. */
  private static int order(String one, String other) {
    return Arrays.compareUnsigned(one.getBytes(StandardCharsets.UTF_8), other.getBytes(StandardCharsets.UTF_8));
  }
}
