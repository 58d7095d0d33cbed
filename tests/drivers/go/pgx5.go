package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var pgx5 = Driver{
	Module: "github.com/jackc/pgx/v5",
	Connect: func(ctx context.Context, run *Run, c client) (Session, error) {
		return openPgx5(ctx, run, c)
	},
	State: func(err error) string {
		var server *pgconn.PgError
		if errors.As(err, &server) {
			return server.Code
		}
		return "client"
	},
	Features: []Feature{
		{"listen", pgx5Listen}, {"copy in", pgx5CopyIn}, {"copy out", pgx5CopyOut}, {"cursor", cursor},
		{"large object", pgx5LargeObject}, {"savepoint", savepoint}, {"batch error", pgx5Batch}, {"cancel", pgx5Cancel},
	},
}

type pgx5Session struct{ *pgx.Conn }

func openPgx5(ctx context.Context, run *Run, c client) (pgx5Session, error) {
	parameters := map[string]string{"application_name": c.application(), "timezone": c.zone(), "sslmode": "disable"}
	parameters["default_query_exec_mode"] = run.Setting
	connection, err := pgx.Connect(ctx, with(run.URL, parameters))
	return pgx5Session{connection}, err
}

func (s pgx5Session) Query(ctx context.Context, q question, _ *rand.Rand) ([][]any, error) {
	rows, err := s.Conn.Query(ctx, q.text, q.id, q.value)
	return pgx5Collect(rows, err)
}

func (s pgx5Session) Rows(ctx context.Context, sql string) ([][]any, error) {
	rows, err := s.Conn.Query(ctx, sql)
	return pgx5Collect(rows, err)
}

func pgx5Collect(rows pgx.Rows, err error) ([][]any, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
}

func (s pgx5Session) Exec(ctx context.Context, sql string) error {
	_, err := s.Conn.Exec(ctx, sql)
	return err
}

func (s pgx5Session) Broken() bool { return s.IsClosed() }

func (s pgx5Session) Close() { _ = s.Conn.Close(context.Background()) }

func pgx5Listen(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Exec(ctx, "listen news"); err != nil {
		return err
	}
	return notified(ctx, run, func() (string, error) {
		notification, err := s.WaitForNotification(ctx)
		if err != nil {
			return "", err
		}
		return notification.Payload, nil
	})
}

func pgx5CopyIn(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Exec(ctx, "create table copied (n integer, word text)"); err != nil {
		return err
	}
	rows := pgx.CopyFromSlice(copied, func(n int) ([]any, error) { return []any{int32(n), fmt.Sprint("word ", n)}, nil })
	if _, err := s.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n", "word"}, rows); err != nil {
		return err
	}
	return expect(ctx, s, copiedText, copiedSum)
}

func pgx5CopyOut(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	var out strings.Builder
	if _, err := s.PgConn().CopyTo(ctx, &out, "copy (select n from generate_series(1, 50000) n) to stdout"); err != nil {
		return err
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 50001 || lines[49999] != "50000" {
		return fmt.Errorf("copied %d lines", len(lines))
	}
	return expect(ctx, s, "select 1::bigint", []any{int64(1)})
}

func pgx5LargeObject(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	transaction, err := s.Begin(ctx)
	if err != nil {
		return err
	}
	objects := transaction.LargeObjects()
	written := strings.Repeat("a large object ", 20000)
	oid, err := objects.Create(ctx, 0)
	if err != nil {
		return err
	}
	object, err := objects.Open(ctx, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	if err != nil {
		return err
	}
	if _, err := object.Write([]byte(written)); err != nil {
		return err
	}
	if _, err := object.Seek(0, io.SeekStart); err != nil {
		return err
	}
	read, err := io.ReadAll(object)
	if err != nil {
		return err
	}
	if string(read) != written {
		return fmt.Errorf("read %d bytes that are not those written", len(read))
	}
	return errors.Join(objects.Unlink(ctx, oid), transaction.Commit(ctx))
}

// An error in the middle of a pipeline: what is before it has its rows, what is after it is ignored, and nobody is confused afterwards.
func pgx5Batch(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	for round := range 5 {
		batch := &pgx.Batch{}
		batch.Queue("select $1::integer", round)
		batch.Queue("select 1 / $1::integer", 0)
		batch.Queue("select $1::integer + 1", round)
		results := s.SendBatch(ctx, batch)
		var first int
		firstErr := results.QueryRow().Scan(&first)
		_, secondErr := results.Exec()
		_, thirdErr := results.Exec()
		_ = results.Close()
		// Where the whole batch is described or sent as one text beforehand, its first answer may be the error.
		if firstErr == nil && first != round {
			return fmt.Errorf("the first answer is %d, not %d", first, round)
		}
		if secondErr == nil || thirdErr == nil {
			return errors.New("no error in the batch")
		}
		if err := failsWith(run, "22012", errors.Join(firstErr, secondErr)); err != nil {
			return err
		}
		if err := expect(ctx, s, "select 5::bigint", []any{int64(5)}); err != nil {
			return err
		}
	}
	return nil
}

func pgx5Cancel(ctx context.Context, run *Run) error {
	s, err := openPgx5(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	query := func() error { return s.Exec(ctx, slow) }
	return cancelled(ctx, run, query, func() error { return s.PgConn().CancelRequest(ctx) })
}
