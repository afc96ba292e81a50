package org.headwater.flink;

import org.apache.flink.table.functions.ScalarFunction;

/**
 * Arithmetic over whole numbers as a flow means it: null where an operand is, never beyond 64 bits without a word,
 * quotients and remainders toward negative infinity, null where something is divided by zero.
 */
public final class Whole {
  private static final long EXACT = 1L << 53; // a double holds every whole number up to it

  private Whole() {}

  public static class Add extends ScalarFunction {
    public Long eval(Long one, Long other) {
      return one == null || other == null ? null : Long.valueOf(Math.addExact(one, other));
    }
  }

  public static class Subtract extends ScalarFunction {
    public Long eval(Long one, Long other) {
      return one == null || other == null ? null : Long.valueOf(Math.subtractExact(one, other));
    }
  }

  public static class Multiply extends ScalarFunction {
    public Long eval(Long one, Long other) {
      return one == null || other == null ? null : Long.valueOf(Math.multiplyExact(one, other));
    }
  }

  public static class FloorDivide extends ScalarFunction {
    public Long eval(Long one, Long other) {
      if (one == null || other == null || other == 0) {
        return null;
      }
      return other == -1 ? Math.negateExact(one) : Math.floorDiv(one, other);
    }
  }

  public static class FloorRemainder extends ScalarFunction {
    public Long eval(Long one, Long other) {
      return one == null || other == null || other == 0 ? null : Long.valueOf(Math.floorMod(one, other));
    }
  }

  /** A quotient as a double: rounded once, so that both numbers have to fit a double. */
  public static class Divide extends ScalarFunction {
    public Double eval(Long one, Long other) {
      if (one == null || other == null || other == 0) {
        return null;
      }
      if (Math.abs(one) > EXACT || Math.abs(other) > EXACT) {
        throw new ArithmeticException("a number beyond 2^53 is divided");
      }
      return (double) one / (double) other;
    }
  }

  public static class Negate extends ScalarFunction {
    public Long eval(Long one) {
      return one == null ? null : Long.valueOf(Math.negateExact(one));
    }
  }

  public static class Absolute extends ScalarFunction {
    public Long eval(Long one) {
      return one == null ? null : Long.valueOf(one < 0 ? Math.negateExact(one) : one);
    }
  }
}
