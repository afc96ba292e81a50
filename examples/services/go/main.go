// A gate desk: keeps its flights in a table of its own, and tells the mesh in the same transaction. Nothing but pgx.
//
// The database's function headwater_emit_flights_departures is made by `headwater apply`; it fills in the product, the
// schema and the key, checks the payload, and writes each event and revision once.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const table = `
CREATE TABLE IF NOT EXISTS gate_desk_flight (
	flight_id text PRIMARY KEY, delay_minutes bigint NOT NULL, revision bigint NOT NULL, key_version bigint NOT NULL)`

// Locks the flight's row until the commit, so that revision and key_version rise in the order of commits.
const change = `
INSERT INTO gate_desk_flight AS f VALUES ($1, $2, 1, 1)
ON CONFLICT (flight_id) DO UPDATE
	SET delay_minutes = EXCLUDED.delay_minutes, revision = f.revision + 1, key_version = f.key_version + 1
RETURNING revision, key_version`

const emit = `
SELECT headwater_emit_flights_departures($1::jsonb, event_id => $2, kind => $3, revision => $4, key_version => $5)::text`

// departure is the payload: the fields of the schema without event_id, recorded_at, kind and revision.
type departure struct {
	FlightID      string    `json:"flight_id"`
	Origin        string    `json:"origin"`
	Dest          string    `json:"dest"`
	Carrier       string    `json:"carrier"`
	FlightNumber  int32     `json:"flight_number"`
	ScheduledAt   time.Time `json:"scheduled_at"`
	OccurredAt    time.Time `json:"occurred_at"`
	DelayMinutes  int64     `json:"delay_minutes"`
	DistanceMiles int32     `json:"distance_miles"`
}

// departed says that the flight left so late; said again with another delay, it is a correction. It commits, or changes
// nothing.
func departed(ctx context.Context, conn *pgx.Conn, flightID string, scheduledAt time.Time, delay int64) (string, error) {
	payload, err := json.Marshal(departure{
		FlightID: flightID, Origin: "JFK", Dest: "LAX", Carrier: "HW", FlightNumber: 1, DistanceMiles: 2475,
		ScheduledAt: scheduledAt, OccurredAt: scheduledAt.Add(time.Duration(delay) * time.Minute), DelayMinutes: delay,
	})
	if err != nil {
		return "", err
	}
	var rowID string
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var revision, keyVersion int64
		if err := tx.QueryRow(ctx, change, flightID, delay).Scan(&revision, &keyVersion); err != nil {
			return err
		}
		kind := "correct"
		if revision == 1 {
			kind = "assert"
		}
		return tx.QueryRow(ctx, emit, string(payload), eventID(flightID), kind, revision, keyVersion).Scan(&rowID)
	})
	return rowID, err
}

// eventID is the identity of the departure, the same in each correction.
func eventID(flightID string) string {
	hash := sha256.Sum256([]byte("departure " + flightID))
	return fmt.Sprintf("%x", hash[:16])
}

func run(ctx context.Context) error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: gatedesk FLIGHT SCHEDULED_AT DELAY_MINUTES")
	}
	scheduledAt, err := time.Parse(time.RFC3339, os.Args[2])
	if err != nil {
		return err
	}
	delay, err := strconv.ParseInt(os.Args[3], 10, 64)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, os.Getenv("OPERATIONS_DATABASE"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, table); err != nil {
		return err
	}
	rowID, err := departed(ctx, conn, os.Args[1], scheduledAt, delay)
	if err == nil {
		fmt.Println(rowID)
	}
	return err
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
