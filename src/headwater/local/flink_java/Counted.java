package org.headwater.flink;

import org.apache.flink.table.api.dataview.MapView;
import org.apache.flink.table.functions.AggregateFunction;

/**
 * Measures over values that come (sign 1) and go (sign -1) in any order: for each value it is kept how often it is in,
 * so that what goes can be taken out again. Null does not count.
 */
public abstract class Counted<T, V, H extends Counted.Kept<V>> extends AggregateFunction<T, H> {
  /** How often each value is in, how many are in at all, and the one that counts most. A subclass names the type. */
  public abstract static class Kept<V> {
    public MapView<V, Long> times = new MapView<>();
    public Long different = 0L;
    public V edge;
  }

  /** Whether one value stands before another at the edge that is asked for. */
  protected boolean beyond(V one, V other) {
    return false;
  }

  public void accumulate(H held, V value, Long sign) throws Exception {
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
      held.different++;
      if (held.edge == null || beyond(value, held.edge)) {
        held.edge = value;
      }
    } else if (was > 0 && now <= 0) {
      held.different--;
      if (value.equals(held.edge)) {
        held.edge = sought(held);
      }
    }
  }

  private V sought(H held) throws Exception {
    V found = null;
    for (var entry : held.times.entries()) {
      if (entry.getValue() > 0 && (found == null || beyond(entry.getKey(), found))) {
        found = entry.getKey();
      }
    }
    return found;
  }
}
