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
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Workloads W5 and W6 on Kafka Streams: Nexmark's query 1, 2, 17 or 20, as bench.query says. It cannot take back or
 * correct what it has counted, so it leaves out what is no first version; what is later than bench.grace.ms it drops.
 */
public final class Nexmark {
  record Bid(String eventId, String auction, long number, String bidder, long price, String channel, String url,
      long occurredAt, long recordedAt, long revision) {}

  record Auction(String seller, long category, long validFrom) {}

  record Day(long bids, long low, long middle, long high, long least, long most, long price) {
    Day add(long bid) {
      return new Day(bids + 1, bid < 10_000 ? low + 1 : low, bid >= 10_000 && bid < 1_000_000 ? middle + 1 : middle,
          bid >= 1_000_000 ? high + 1 : high, Math.min(least, bid), Math.max(most, bid), price + bid);
    }
  }

  static Bid readBid(String topic, byte[] value) {
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    String eventId = reader.readString();
    String auction = reader.readString();
    long number = reader.readLong();
    String bidder = reader.readString();
    long price = reader.readLong();
    String channel = reader.readString();
    String url = reader.readString();
    long occurredAt = reader.readLong();
    long recordedAt = reader.readLong();
    reader.readLong(); // kind
    return new Bid(eventId, auction, number, bidder, price, channel, url, occurredAt, recordedAt, reader.readLong());
  }

  static Auction readAuction(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    reader.readString(); // auction
    long validFrom = reader.readLong();
    if (reader.readLong() != 0) {
      reader.readLong(); // valid_to
    }
    return new Auction(reader.readString(), reader.readLong(), validFrom);
  }

  static byte[] writeAuction(String topic, Auction auction) {
    return auction == null ? null : new Totals.AvroWriter(Totals.FRAME + 60 + 3 * auction.seller().length(),
        Totals.FRAME).writeString("").writeLong(auction.validFrom()).writeLong(0).writeString(auction.seller())
        .writeLong(auction.category()).toBytes();
  }

  static Day readDay(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    Totals.AvroReader reader = new Totals.AvroReader(value, 0);
    return new Day(reader.readLong(), reader.readLong(), reader.readLong(), reader.readLong(), reader.readLong(),
        reader.readLong(), reader.readLong());
  }

  static byte[] writeDay(String topic, Day day) {
    return day == null ? null : new Totals.AvroWriter(80, 0).writeLong(day.bids()).writeLong(day.low())
        .writeLong(day.middle()).writeLong(day.high()).writeLong(day.least()).writeLong(day.most())
        .writeLong(day.price()).toBytes();
  }

  private static Totals.AvroWriter writer(String... texts) {
    int limit = Totals.FRAME + 150;
    for (String text : texts) {
      limit += 3 * text.length();
    }
    Totals.AvroWriter writer = new Totals.AvroWriter(limit, Totals.FRAME);
    for (String text : texts) {
      writer.writeString(text);
    }
    return writer;
  }

  static byte[] writeOutput(String auction, long start, Day day) {
    return writer(auction).writeLong(start).writeLong(0).writeLong(day.bids()).writeLong(day.low())
        .writeLong(day.middle()).writeLong(day.high()).writeLong(1).writeLong(day.least()).writeLong(1)
        .writeLong(day.most()).writeLong(day.price()).toBytes();
  }

  static KStream<String, byte[]> query(StreamsBuilder builder, Properties settings, KStream<String, Bid> bids,
      Serde<Bid> serde) {
    switch (settings.getProperty("bench.query")) {
      case "q1":
        return bids.mapValues(bid -> writer(bid.eventId(), bid.auction(), bid.bidder()).writeLong(bid.price() * 908)
            .writeLong(bid.occurredAt()).toBytes());
      case "q2":
        return bids.filter((auction, bid) -> bid.number() % 123 == 0)
            .mapValues(bid -> writer(bid.eventId(), bid.auction()).writeLong(bid.price())
                .writeLong(bid.occurredAt()).toBytes());
      case "q17":
        Duration grace = Duration.ofMillis(Long.parseLong(settings.getProperty("bench.grace.ms")));
        return bids.groupByKey().windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofDays(1), grace))
            .aggregate(() -> new Day(0, 0, 0, 0, Long.MAX_VALUE, Long.MIN_VALUE, 0),
                (auction, bid, day) -> day.add(bid.price()),
                Materialized.<String, Day, WindowStore<Bytes, byte[]>>as("days").withKeySerde(Serdes.String())
                    .withValueSerde(Totals.serde(Nexmark::writeDay, Nexmark::readDay)).withLoggingEnabled(Map.of()))
            .toStream()
            .map((day, found) -> KeyValue.pair(day.key(),
                writeOutput(day.key(), day.window().start() * 1_000, found)));
      default:
        Serde<Auction> auctions = Totals.serde(Nexmark::writeAuction, Nexmark::readAuction);
        KTable<String, Auction> table = builder.table(settings.getProperty("bench.table"),
            Consumed.with(Serdes.String(), auctions)
                .withTimestampExtractor((record, before) -> ((Auction) record.value()).validFrom() / 1_000),
            Materialized.<String, Auction, KeyValueStore<Bytes, byte[]>>as("auctions")
                .withKeySerde(Serdes.String()).withValueSerde(auctions));
        return bids.join(table, (bid, auction) -> auction.category() != 10 ? new byte[0]
                : writer(bid.eventId(), bid.auction(), bid.bidder()).writeLong(bid.price())
                    .writeLong(bid.occurredAt()).writeLong(1).writeString(auction.seller()).writeLong(1)
                    .writeLong(auction.category()).toBytes(), Joined.with(Serdes.String(), serde, auctions))
            .filter((auction, value) -> value.length > 0);
    }
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Serde<Bid> serde = Totals.serde((topic, bid) -> {
      throw new UnsupportedOperationException("bids are only read");
    }, Nexmark::readBid);
    StreamsBuilder builder = new StreamsBuilder();
    KStream<String, Bid> bids = builder.stream(settings.getProperty("bench.input"), Consumed.with(Serdes.String(), serde)
            .withTimestampExtractor((record, before) -> ((Bid) record.value()).occurredAt() / 1_000))
        .filter((auction, bid) -> bid.revision() == 1);
    query(builder, settings, bids, serde)
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    Totals.run(builder, settings);
  }
}
