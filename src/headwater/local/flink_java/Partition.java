package org.headwater.flink;

import java.nio.charset.StandardCharsets;
import org.apache.flink.table.functions.ScalarFunction;

/** The partition of a key, as Kafka's clients choose it: by murmur2 of its UTF-8 bytes. */
public class Partition extends ScalarFunction {
  public Integer eval(String key, Integer partitions) {
    return (murmur2(key.getBytes(StandardCharsets.UTF_8)) & 0x7FFFFFFF) % partitions;
  }

  private static int murmur2(byte[] data) {
    int hash = 0x9747b28c ^ data.length;
    int whole = data.length & ~3;
    for (int at = 0; at < whole; at += 4) {
      int part =
          (data[at] & 0xFF) | (data[at + 1] & 0xFF) << 8 | (data[at + 2] & 0xFF) << 16 | (data[at + 3] & 0xFF) << 24;
      part *= 0x5bd1e995;
      part ^= part >>> 24;
      part *= 0x5bd1e995;
      hash *= 0x5bd1e995;
      hash ^= part;
    }
    int left = data.length & 3;
    if (left > 0) {
      for (int at = left - 1; at >= 0; at--) {
        hash ^= (data[whole + at] & 0xFF) << 8 * at;
      }
      hash *= 0x5bd1e995;
    }
    hash ^= hash >>> 13;
    hash *= 0x5bd1e995;
    return hash ^ hash >>> 15;
  }
}
