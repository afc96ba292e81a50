package org.headwater.flink;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Measures over texts that come and go. */
public final class Texts {
  private Texts() {}

  /** What is kept of the values. */
  public static class Held extends Counted.Kept<String> {}

  /** What all of them begin with. */
  public abstract static class Values<T> extends Counted<T, String, Held> {
    @Override
    public Held createAccumulator() {
      return new Held();
    }
  }

  public static class Minimum extends Values<String> {
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
