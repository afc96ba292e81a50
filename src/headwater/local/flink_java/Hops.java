package org.headwater.flink;

import org.apache.flink.table.functions.TableFunction;

/** How far behind its own interval the intervals lie that a row of a hopping window counts in, its own first. */
public class Hops extends TableFunction<Long> {
  public void eval(Long step, Integer hops) {
    for (int hop = 0; hop < hops; hop++) {
      collect(hop * step);
    }
  }
}
