import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.Stores;

/**
 * Workload W4 on Kafka Streams: orders joined with their customer as of the order's instant, in a versioned store. A
 * customer that is corrected later corrects nothing that was joined before.
 */
public final class Enriched {
  record Customer(String segment, long validFrom) {}

  static Customer readCustomer(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    reader.readString(); // customer
    long validFrom = reader.readLong();
    if (reader.readLong() != 0) { // valid_to, a union
      reader.readLong();
    }
    return new Customer(reader.readString(), validFrom);
  }

  static byte[] writeCustomer(String topic, Customer customer) {
    return customer == null ? null : new Totals.AvroWriter(Totals.FRAME + 40 + 3 * customer.segment().length(),
        Totals.FRAME).writeString("").writeLong(customer.validFrom()).writeLong(0).writeString(customer.segment())
        .toBytes();
  }

  static byte[] writeOutput(Totals.Order order, Customer customer) {
    int limit = Totals.FRAME + 120 + 3 * order.customer().length();
    Totals.AvroWriter writer = new Totals.AvroWriter(limit, Totals.FRAME).writeString(order.eventId())
        .writeString(order.customer()).writeLong(order.occurredAt()).writeLong(order.amountCents());
    return customer == null ? writer.writeLong(0).toBytes()
        : writer.writeLong(1).writeString(customer.segment()).toBytes();
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Serde<Totals.Order> orders = Totals.orders();
    Serde<Customer> customers = Totals.serde(Enriched::writeCustomer, Enriched::readCustomer);
    StreamsBuilder builder = new StreamsBuilder();
    KTable<String, Customer> table = builder.table(settings.getProperty("bench.table"),
        Consumed.with(Serdes.String(), customers)
            .withTimestampExtractor((record, before) -> ((Customer) record.value()).validFrom() / 1_000),
        Materialized.<String, Customer>as(Stores.persistentVersionedKeyValueStore("customers", Duration.ofDays(3_650)))
            .withKeySerde(Serdes.String()).withValueSerde(customers));
    builder.stream(settings.getProperty("bench.input"), Consumed.with(Serdes.String(), orders)
            .withTimestampExtractor((record, before) -> ((Totals.Order) record.value()).occurredAt() / 1_000))
        .leftJoin(table, Enriched::writeOutput, Joined.with(Serdes.String(), orders, customers))
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    Totals.run(builder, settings);
  }
}
