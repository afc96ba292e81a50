package org.headwater.flink;

import org.apache.flink.table.functions.ScalarFunction;

/** A revision, which counts from 1: a record with another cannot be taken, and the job says so and ends. */
public class Revision extends ScalarFunction {
  public Long eval(Long revision) {
    if (revision == null || revision < 1) {
      throw new IllegalArgumentException("HW-P080: a revision counts from 1");
    }
    return revision;
  }
}
