package org.headwater.flink;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.InputGroup;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * The value of a record: the registry's frame with the schema's id, then the Avro body. The form names a code for each
 * field in order: l long, i int, d double, s string, b boolean, e:a|b an enum; 0?l a long or null, null first.
 */
public class Frame extends ScalarFunction {
  private transient String known;
  private transient Code[] codes;

  public byte[] eval(
      Integer id, String form, @DataTypeHint(inputGroup = InputGroup.ANY) Object... values) {
    if (!form.equals(known)) {
      codes = Arrays.stream(form.split(",")).map(Code::parse).toArray(Code[]::new);
      known = form;
    }
    ByteArrayOutputStream out = new ByteArrayOutputStream(64);
    out.write(0);
    for (int shift = 24; shift >= 0; shift -= 8) {
      out.write(id >> shift);
    }
    for (int at = 0; at < codes.length; at++) {
      codes[at].write(out, values[at]);
    }
    return out.toByteArray();
  }

  /** How one field is written. */
  private record Code(char kind, int nullAt, List<String> symbols) {
    static Code parse(String text) {
      int nullAt = text.length() > 1 && text.charAt(1) == '?' ? text.charAt(0) - '0' : -1;
      String rest = nullAt < 0 ? text : text.substring(2);
      List<String> symbols = rest.startsWith("e:") ? List.of(rest.substring(2).split("\\|")) : List.of();
      return new Code(rest.charAt(0), nullAt, symbols);
    }

    void write(ByteArrayOutputStream out, Object value) {
      if (nullAt >= 0) {
        writeLong(out, value == null ? nullAt : 1 - nullAt);
        if (value == null) {
          return;
        }
      } else if (value == null) {
        throw new IllegalArgumentException("a field that may not be null is null");
      }
      switch (kind) {
        case 'l' -> writeLong(out, (Long) value);
        case 'i' -> writeLong(out, Math.toIntExact((Long) value));
        case 'd' -> writeDouble(out, (Double) value);
        case 'b' -> out.write((Boolean) value ? 1 : 0);
        case 's' -> writeText(out, (String) value);
        case 'e' -> writeLong(out, place((String) value));
        default -> throw new IllegalArgumentException("no field is written as " + kind);
      }
    }

    private int place(String symbol) {
      int at = symbols.indexOf(symbol);
      if (at < 0) {
        throw new IllegalArgumentException("a value is none of the symbols of its enum");
      }
      return at;
    }
  }

  private static void writeLong(ByteArrayOutputStream out, long value) {
    long left = (value << 1) ^ (value >> 63);
    while ((left & ~0x7FL) != 0) {
      out.write((int) (left & 0x7F | 0x80));
      left >>>= 7;
    }
    out.write((int) left);
  }

  private static void writeDouble(ByteArrayOutputStream out, double value) {
    long bits = Double.doubleToLongBits(value);
    for (int shift = 0; shift < 64; shift += 8) {
      out.write((int) (bits >>> shift));
    }
  }

  private static void writeText(ByteArrayOutputStream out, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    writeLong(out, bytes.length);
    out.write(bytes, 0, bytes.length);
  }
}
