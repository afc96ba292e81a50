package org.headwater.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** The start of an interval that ends after it starts, or never; another cannot be taken, and the job ends. */
public class Interval extends ScalarFunction {
  public Long eval(Long from, Long to) {
    if (to != null && from >= to) {
      throw new IllegalArgumentException("HW-P081: an interval ends after it starts");
    }
    return from;
  }
}
