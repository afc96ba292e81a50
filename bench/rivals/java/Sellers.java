import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** Workload W5 on Kafka Streams: Nexmark's query 3 or 8, as bench.query says; bench.other is the topic of persons. */
public final class Sellers {
  static final Set<String> STATES = Set.of("OR", "ID", "CA");
  static final Duration GRACE = Duration.ofDays(1);
  static final long AHEAD_MS = 1_000;

  record Opening(String eventId, String seller, String auction, long category, long occurredAt) {}

  record Person(String fullName, String city, String state, long since) {}

  record Window(String fullName, long auctions) {}

  static Opening readOpening(String topic, byte[] value) {
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    return new Opening(reader.readString(), reader.readString(), reader.readString(), reader.readLong(),
        reader.readLong());
  }

  static Person readPerson(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    reader.readString(); // person
    long since = reader.readLong();
    if (reader.readLong() != 0) {
      reader.readLong(); // valid_to
    }
    return new Person(reader.readString(), reader.readString(), reader.readString(), since);
  }

  static byte[] writePerson(String topic, Person person) {
    return person == null ? null : writer(person.fullName(), person.city(), person.state()).writeString("")
        .writeLong(person.since()).writeLong(0).writeString(person.fullName()).writeString(person.city())
        .writeString(person.state()).toBytes();
  }

  static Person readSignUp(String topic, byte[] value) {
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    reader.readString(); // event_id
    reader.readString(); // person
    return new Person(reader.readString(), "", "", reader.readLong());
  }

  static Window readWindow(String topic, byte[] value) {
    if (value == null) {
      return null;
    }
    Totals.AvroReader reader = new Totals.AvroReader(value, Totals.FRAME);
    return new Window(reader.readString(), reader.readLong());
  }

  static byte[] writeWindow(String topic, Window window) {
    return window == null ? null
        : writer(window.fullName()).writeString(window.fullName()).writeLong(window.auctions()).toBytes();
  }

  private static Totals.AvroWriter writer(String... texts) {
    int limit = Totals.FRAME + 80;
    for (String text : texts) {
      limit += 3 * text.length();
    }
    return new Totals.AvroWriter(limit, Totals.FRAME);
  }

  static byte[] writeLocal(Opening opening, Person person) {
    return writer(opening.eventId(), opening.seller(), opening.auction(), person.fullName(), person.city(),
        person.state()).writeString(opening.eventId()).writeString(opening.seller()).writeString(opening.auction())
        .writeLong(opening.occurredAt()).writeLong(1).writeString(person.fullName()).writeLong(1)
        .writeString(person.city()).writeLong(1).writeString(person.state()).toBytes();
  }

  static byte[] writeNew(String person, long start, Window window) {
    return writer(person, window.fullName()).writeString(person).writeLong(start).writeLong(0).writeLong(1)
        .writeString(window.fullName()).writeLong(window.auctions()).toBytes();
  }

  private static <T> Serde<T> read(org.apache.kafka.common.serialization.Deserializer<T> deserializer) {
    return Totals.serde((topic, value) -> {
      throw new UnsupportedOperationException("only read");
    }, deserializer);
  }

  /** The sellers of a category's auctions. The table is kept ahead, since an auction before its person would be lost. */
  static KStream<String, byte[]> local(StreamsBuilder builder, String other, KStream<String, Opening> openings,
      Serde<Opening> serde) {
    Serde<Person> persons = Totals.serde(Sellers::writePerson, Sellers::readPerson);
    KTable<String, Person> table = builder.table(other,
        Consumed.with(Serdes.String(), persons)
            .withTimestampExtractor((record, before) -> record.timestamp() - AHEAD_MS),
        Materialized.<String, Person, KeyValueStore<Bytes, byte[]>>as("persons").withKeySerde(Serdes.String())
            .withValueSerde(persons));
    return openings.filter((seller, opening) -> opening.category() == 10)
        .join(table, (opening, person) -> STATES.contains(person.state()) ? writeLocal(opening, person) : new byte[0],
            Joined.with(Serdes.String(), serde, persons))
        .filter((seller, value) -> value.length > 0);
  }

  /** Sign-ups and openings of a person, counted by windows; those windows that hold both. */
  static KStream<String, byte[]> fresh(StreamsBuilder builder, String other, KStream<String, Opening> openings) {
    Serde<Window> windows = Totals.serde(Sellers::writeWindow, Sellers::readWindow);
    KStream<String, Window> signed = builder.stream(other, Consumed.with(Serdes.String(), read(Sellers::readSignUp))
        .withTimestampExtractor((record, before) -> ((Person) record.value()).since() / 1_000))
        .mapValues(person -> new Window(person.fullName(), 0));
    return openings.mapValues(opening -> new Window("", 1)).merge(signed)
        .groupByKey(Grouped.with(Serdes.String(), windows))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), GRACE))
        .aggregate(() -> new Window("", 0),
            (person, one, window) -> new Window(one.fullName().isEmpty() ? window.fullName() : one.fullName(),
                window.auctions() + one.auctions()),
            Materialized.<String, Window, WindowStore<Bytes, byte[]>>as("windows").withKeySerde(Serdes.String())
                .withValueSerde(windows).withLoggingEnabled(Map.of()))
        .toStream()
        .filter((person, window) -> !window.fullName().isEmpty() && window.auctions() > 0)
        .map((person, window) -> KeyValue.pair(person.key(),
            writeNew(person.key(), person.window().start() * 1_000, window)));
  }

  public static void main(String[] arguments) throws Exception {
    Properties settings = new Properties();
    try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
      settings.load(reader);
    }
    Serde<Opening> serde = read(Sellers::readOpening);
    StreamsBuilder builder = new StreamsBuilder();
    boolean joins = settings.getProperty("bench.query").equals("q3");
    KStream<String, Opening> openings = builder.stream(settings.getProperty("bench.input"),
        Consumed.with(Serdes.String(), serde).withTimestampExtractor((record, before) ->
            joins ? record.timestamp() : ((Opening) record.value()).occurredAt() / 1_000));
    String other = settings.getProperty("bench.other");
    (joins ? local(builder, other, openings, serde)
        : fresh(builder, other, openings))
        .to(settings.getProperty("bench.output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
    Totals.run(builder, settings);
  }
}
