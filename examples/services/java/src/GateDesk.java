import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.UUID;

/**
 * A gate desk: keeps its flights in a table of its own, and tells the mesh in the same transaction. Nothing but JDBC.
 *
 * <p>The database's function headwater_emit_flights_departures is made by {@code headwater apply}; it fills in the
 * product, the schema and the key, checks the payload, and writes each event and revision once.
 */
public final class GateDesk {
    private static final String TABLE = """
        CREATE TABLE IF NOT EXISTS gate_desk_flight (
            flight_id text PRIMARY KEY, delay_minutes bigint NOT NULL, revision bigint NOT NULL, key_version bigint NOT NULL)""";

    /** Locks the flight's row until the commit, so that revision and key_version rise in the order of commits. */
    private static final String CHANGE = """
        INSERT INTO gate_desk_flight AS f VALUES (?, ?, 1, 1)
        ON CONFLICT (flight_id) DO UPDATE
            SET delay_minutes = EXCLUDED.delay_minutes, revision = f.revision + 1, key_version = f.key_version + 1
        RETURNING revision, key_version""";

    private static final String EMIT = """
        SELECT headwater_emit_flights_departures(
            jsonb_build_object(
                'flight_id', ?::text, 'origin', 'JFK', 'dest', 'LAX', 'carrier', 'HW', 'flight_number', 1,
                'scheduled_at', ?::text, 'occurred_at', ?::text, 'delay_minutes', ?::bigint, 'distance_miles', 2475),
            event_id => ?, kind => ?, revision => ?, key_version => ?)""";

    private GateDesk() {}

    /** The flight left so late; said again with another delay, it is a correction. Commits, or changes nothing. */
    static UUID departed(Connection connection, String flightId, Instant scheduledAt, long delayMinutes)
            throws SQLException {
        try (PreparedStatement change = connection.prepareStatement(CHANGE);
                PreparedStatement emit = connection.prepareStatement(EMIT)) {
            change.setString(1, flightId);
            change.setLong(2, delayMinutes);
            try (ResultSet counted = change.executeQuery()) {
                counted.next();
                long revision = counted.getLong("revision");
                emit.setString(1, flightId);
                emit.setString(2, scheduledAt.toString());
                emit.setString(3, scheduledAt.plusSeconds(delayMinutes * 60).toString());
                emit.setLong(4, delayMinutes);
                emit.setString(5, eventId(flightId));
                emit.setString(6, revision == 1 ? "assert" : "correct");
                emit.setLong(7, revision);
                emit.setLong(8, counted.getLong("key_version"));
            }
            try (ResultSet row = emit.executeQuery()) {
                row.next();
                UUID rowId = row.getObject(1, UUID.class);
                connection.commit();
                return rowId;
            }
        } catch (SQLException error) {
            connection.rollback();
            throw error;
        }
    }

    /** The identity of the departure, the same in each correction. */
    static String eventId(String flightId) {
        return UUID.nameUUIDFromBytes(("departure " + flightId).getBytes(StandardCharsets.UTF_8)).toString();
    }

    /** Arguments: flight, scheduled time, delay in minutes. */
    public static void main(String[] arguments) throws SQLException {
        URI address = URI.create(System.getenv("OPERATIONS_DATABASE"));
        String[] login = address.getUserInfo().split(":", 2);
        String url = "jdbc:postgresql://" + address.getHost() + ":" + address.getPort() + address.getPath();
        try (Connection connection = DriverManager.getConnection(url, login[0], login[1])) {
            connection.setAutoCommit(false);
            connection.createStatement().execute(TABLE);
            System.out.println(
                departed(connection, arguments[0], Instant.parse(arguments[1]), Long.parseLong(arguments[2])));
        } catch (SQLException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }
}
