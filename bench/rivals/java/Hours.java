import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Workload W3 on Kafka Streams: count and sum of orders per customer and hour of valid time. bench.grace.ms says how
 * late an order may come; what comes later than that is dropped without a trace in the output.
 */
public final class Hours {
  static byte[] writeHour(String customer, long start, Totals.Total total) {
    return new Totals.AvroWriter(Totals.FRAME + 50 + 3 * customer.length(), Totals.FRAME).writeString(customer)
        .writeLong(start * 1_000).writeLong(total.orders()).writeLong(total.amountCents())
        .writeLong(total.recordedAt()).toBytes();
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Duration grace = Duration.ofMillis(Long.parseLong(settings.getProperty("bench.grace.ms")));
    Serde<Totals.Order> orders = Totals.orders();
    Serde<Totals.Total> totals = Totals.serde(Totals::writeTotal, Totals::readTotal);
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(settings.getProperty("bench.input"), Consumed.with(Serdes.String(), orders)
            .withTimestampExtractor((record, before) -> ((Totals.Order) record.value()).occurredAt() / 1_000))
        .groupByKey()
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), grace))
        .aggregate(() -> new Totals.Total(0, 0, 0), (customer, order, total) -> total.add(order),
            Materialized.<String, Totals.Total, WindowStore<Bytes, byte[]>>as("hours")
                .withKeySerde(Serdes.String()).withValueSerde(totals).withLoggingEnabled(Map.of()))
        .toStream()
        .map((hour, total) -> KeyValue.pair(hour.key(), writeHour(hour.key(), hour.window().start(), total)))
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    Totals.run(builder, settings);
  }
}
