import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Workload W2 on Kafka Streams: count and sum of orders per customer, from Avro to Avro.
 *
 * <p>Decoding and encoding are written by hand: a serde made of the Avro library would be slower, and the comparison
 * is about the engine. Settings come from one properties file; bench.input and bench.output name the topics.
 */
public final class Totals {
  record Item(String sku, int quantity, long priceCents) {}

  record Order(String eventId, String customer, long occurredAt, long amountCents, List<Item> items, long recordedAt) {}

  record Total(long orders, long amountCents, long recordedAt) {
    Total add(Order order) {
      return new Total(orders + 1, amountCents + order.amountCents(), order.recordedAt());
    }
  }

  /** Reads Avro's binary form in the order of the schema. */
  static final class AvroReader {
    private final byte[] bytes;
    private int position;

    AvroReader(byte[] bytes, int position) {
      this.bytes = bytes;
      this.position = position;
    }

    long readLong() {
      long raw = 0;
      for (int shift = 0; ; shift += 7) {
        byte next = bytes[position++];
        raw |= (long) (next & 0x7F) << shift;
        if (next >= 0) {
          return (raw >>> 1) ^ -(raw & 1);
        }
      }
    }

    String readString() {
      int length = (int) readLong();
      String text = new String(bytes, position, length, StandardCharsets.UTF_8);
      position += length;
      return text;
    }

    List<Item> readItems() {
      List<Item> items = new ArrayList<>(4);
      for (long count = readLong(); count != 0; count = readLong()) {
        if (count < 0) {
          count = -count;
          readLong(); // the block's size in bytes, which only skipping needs
        }
        for (long i = 0; i < count; i++) {
          items.add(new Item(readString(), (int) readLong(), readLong()));
        }
      }
      return items;
    }
  }

  /** Writes Avro's binary form into a buffer that fits every value of this workload. */
  static final class AvroWriter {
    private final byte[] bytes;
    private int position;

    AvroWriter(int limit, int position) {
      this.bytes = new byte[limit];
      this.position = position;
    }

    AvroWriter writeLong(long value) {
      long raw = (value << 1) ^ (value >> 63);
      while ((raw & ~0x7FL) != 0) {
        bytes[position++] = (byte) (raw & 0x7F | 0x80);
        raw >>>= 7;
      }
      bytes[position++] = (byte) raw;
      return this;
    }

    AvroWriter writeString(String text) {
      byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
      writeLong(utf8.length);
      System.arraycopy(utf8, 0, bytes, position, utf8.length);
      position += utf8.length;
      return this;
    }

    byte[] toBytes() {
      return java.util.Arrays.copyOf(bytes, position);
    }
  }

  static final int FRAME = 5; // byte 0 and the schema's id, four bytes

  static Order readOrder(String topic, byte[] value) {
    AvroReader reader = new AvroReader(value, FRAME);
    return new Order(reader.readString(), reader.readString(), reader.readLong(), reader.readLong(),
        reader.readItems(), reader.readLong());
  }

  static Total readTotal(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    AvroReader reader = new AvroReader(value, 0);
    return new Total(reader.readLong(), reader.readLong(), reader.readLong());
  }

  static byte[] writeTotal(String topic, Total total) {
    return total == null ? null : new AvroWriter(30, 0)
        .writeLong(total.orders()).writeLong(total.amountCents()).writeLong(total.recordedAt()).toBytes();
  }

  static byte[] writeOutput(String customer, Total total) {
    return new AvroWriter(FRAME + 40 + 3 * customer.length(), FRAME).writeString(customer)
        .writeLong(total.orders()).writeLong(total.amountCents()).writeLong(total.recordedAt()).toBytes();
  }

  static <T> Serde<T> serde(Serializer<T> serializer, Deserializer<T> deserializer) {
    return Serdes.serdeFrom(serializer, deserializer);
  }

  static Serde<Order> orders() {
    return serde((topic, order) -> {
      throw new UnsupportedOperationException("orders are only read");
    }, Totals::readOrder);
  }

  /** Says on standard output when each store's restore began and ended, in milliseconds, and how many records it read. */
  static final class Restores implements StateRestoreListener {
    @Override
    public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
      System.out.println("restore start " + partition.partition() + " " + System.currentTimeMillis() + " 0");
    }

    @Override
    public void onBatchRestored(TopicPartition partition, String store, long offset, long count) {}

    @Override
    public void onRestoreEnd(TopicPartition partition, String store, long total) {
      System.out.println("restore end " + partition.partition() + " " + System.currentTimeMillis() + " " + total);
    }
  }

  /** Runs a topology until SIGTERM; a fault ends the process. */
  static void run(StreamsBuilder builder, Properties settings) {
    KafkaStreams streams = new KafkaStreams(builder.build(settings), settings);
    streams.setUncaughtExceptionHandler(fault -> {
      fault.printStackTrace();
      return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
    });
    streams.setGlobalStateRestoreListener(new Restores());
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
    streams.start();
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Serde<Order> orders = orders();
    Serde<Total> totals = serde(Totals::writeTotal, Totals::readTotal);

    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(settings.getProperty("bench.input"), Consumed.with(Serdes.String(), orders))
        .groupByKey()
        .aggregate(() -> new Total(0, 0, 0), (customer, order, total) -> total.add(order),
            Materialized.<String, Total, KeyValueStore<Bytes, byte[]>>as("totals")
                .withKeySerde(Serdes.String()).withValueSerde(totals).withLoggingEnabled(Map.of()))
        .toStream()
        .mapValues(Totals::writeOutput)
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));

    run(builder, settings);
  }
}
