import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Workload W10 on Kafka Streams behind Debezium: the totals of {@link Totals} from the JSON that Debezium passes on.
 *
 * <p>Of the text only the amount is looked for, which is less than to read it.
 */
public final class JsonTotals {
  static final byte[] AMOUNT = "\"amount_cents\":".getBytes(StandardCharsets.UTF_8);

  static long amountOf(byte[] json) {
    int place = placeOf(json) + AMOUNT.length;
    while (json[place] == ' ') {
      place++;
    }
    long amount = 0;
    for (; json[place] >= '0' && json[place] <= '9'; place++) {
      amount = 10 * amount + json[place] - '0';
    }
    return amount;
  }

  private static int placeOf(byte[] json) {
    for (int start = 0; start <= json.length - AMOUNT.length; start++) {
      if (java.util.Arrays.equals(json, start, start + AMOUNT.length, AMOUNT, 0, AMOUNT.length)) {
        return start;
      }
    }
    throw new IllegalArgumentException("an order without an amount");
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Serde<Totals.Total> totals = Totals.serde(Totals::writeTotal, Totals::readTotal);
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(settings.getProperty("bench.input"), Consumed.with(Serdes.String(), Serdes.ByteArray()))
        .groupByKey(Grouped.with(Serdes.String(), Serdes.ByteArray()))
        .aggregate(() -> new Totals.Total(0, 0, 0),
            (customer, order, total) -> new Totals.Total(total.orders() + 1, total.amountCents() + amountOf(order), 0),
            Materialized.<String, Totals.Total, KeyValueStore<Bytes, byte[]>>as("totals")
                .withKeySerde(Serdes.String()).withValueSerde(totals).withLoggingEnabled(Map.of()))
        .toStream()
        .mapValues(Totals::writeOutput)
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    Totals.run(builder, settings);
  }
}
