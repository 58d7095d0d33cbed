package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
)

var pgx4 = Driver{
	Module: "github.com/jackc/pgx/v4",
	Connect: func(ctx context.Context, run *Run, c client) (Session, error) {
		return openPgx4(ctx, run, c)
	},
	State: func(err error) string {
		var server *pgconn.PgError
		if errors.As(err, &server) {
			return server.Code
		}
		return "client"
	},
	Features: []Feature{
		{"listen", pgx4Listen}, {"copy in", pgx4CopyIn}, {"cursor", cursor}, {"savepoint", savepoint},
		{"batch error", pgx4Batch}, {"cancel", pgx4Cancel},
	},
}

type pgx4Session struct{ *pgx.Conn }

func openPgx4(ctx context.Context, run *Run, c client) (pgx4Session, error) {
	parameters := map[string]string{"application_name": c.application(), "timezone": c.zone(), "sslmode": "disable"}
	switch run.Setting {
	case "statement_cache_capacity=0":
		parameters["statement_cache_capacity"] = "0"
	case "statement_cache_mode=describe":
		parameters["statement_cache_mode"] = "describe"
	}
	connection, err := pgx.Connect(ctx, with(run.URL, parameters))
	return pgx4Session{connection}, err
}

func (s pgx4Session) Query(ctx context.Context, q question, _ *rand.Rand) ([][]any, error) {
	rows, err := s.Conn.Query(ctx, q.text, q.id, q.value)
	return pgx4Collect(rows, err)
}

func (s pgx4Session) Rows(ctx context.Context, sql string) ([][]any, error) {
	rows, err := s.Conn.Query(ctx, sql)
	return pgx4Collect(rows, err)
}

func pgx4Collect(rows pgx.Rows, err error) ([][]any, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]any
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	return all, rows.Err()
}

func (s pgx4Session) Exec(ctx context.Context, sql string) error {
	_, err := s.Conn.Exec(ctx, sql)
	return err
}

func (s pgx4Session) Broken() bool { return s.IsClosed() }

func (s pgx4Session) Close() { _ = s.Conn.Close(context.Background()) }

func pgx4Listen(ctx context.Context, run *Run) error {
	s, err := openPgx4(ctx, run, visitor(run))
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

func pgx4CopyIn(ctx context.Context, run *Run) error {
	s, err := openPgx4(ctx, run, visitor(run))
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

func pgx4Batch(ctx context.Context, run *Run) error {
	s, err := openPgx4(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	batch := &pgx.Batch{}
	batch.Queue("select 4::integer where $1::integer = 1", 1)
	batch.Queue("select 1 / $1::integer", 0)
	batch.Queue("select $1::integer + 1", 1)
	results := s.SendBatch(ctx, batch)
	var first int
	firstErr := results.QueryRow().Scan(&first)
	_, secondErr := results.Exec()
	_ = results.Close()
	if firstErr == nil && first != 4 {
		return fmt.Errorf("the first answer is %d, not 4", first)
	}
	if err := failsWith(run, "22012", errors.Join(firstErr, secondErr)); err != nil {
		return err
	}
	return expect(ctx, s, "select 5::bigint", []any{int64(5)})
}

func pgx4Cancel(ctx context.Context, run *Run) error {
	s, err := openPgx4(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	query := func() error { return s.Exec(ctx, slow) }
	return cancelled(ctx, run, query, func() error { return s.PgConn().CancelRequest(ctx) })
}
