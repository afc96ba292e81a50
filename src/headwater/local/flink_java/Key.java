package org.headwater.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.InputGroup;
import org.apache.flink.table.functions.ScalarFunction;

/** The Kafka key of the values of key fields: one as JSON without quotes, several as a compact JSON array. */
public class Key extends ScalarFunction {
  public String eval(@DataTypeHint(inputGroup = InputGroup.ANY) Object... values) {
    if (values.length == 1) {
      return values[0] instanceof String ? (String) values[0] : String.valueOf(values[0]);
    }
    StringBuilder text = new StringBuilder("[");
    for (Object value : values) {
      if (text.length() > 1) {
        text.append(',');
      }
      if (value instanceof String) {
        quote(text, (String) value);
      } else {
        text.append(value);
      }
    }
    return text.append(']').toString();
  }

  private static void quote(StringBuilder text, String value) {
    text.append('"');
    for (int at = 0; at < value.length(); at++) {
      char letter = value.charAt(at);
      switch (letter) {
        case '"' -> text.append("\\\"");
        case '\\' -> text.append("\\\\");
        case '\n' -> text.append("\\n");
        case '\r' -> text.append("\\r");
        case '\t' -> text.append("\\t");
        case '\b' -> text.append("\\b");
        case '\f' -> text.append("\\f");
        default -> {
          if (letter < 0x20) {
            text.append(String.format("\\u%04x", (int) letter));
          } else {
            text.append(letter);
          }
        }
      }
    }
    text.append('"');
  }
}
