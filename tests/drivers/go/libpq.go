package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/lib/pq"
)

var libpq = Driver{
	Module: "github.com/lib/pq",
	Connect: func(ctx context.Context, run *Run, c client) (Session, error) {
		return openLibpq(ctx, run, c)
	},
	State: func(err error) string {
		var server *pq.Error
		if errors.As(err, &server) {
			return string(server.Code)
		}
		return "client"
	},
	Features: []Feature{
		{"listen", libpqListen}, {"copy in", libpqCopyIn}, {"cursor", cursor}, {"savepoint", savepoint}, {"cancel", libpqCancel},
	},
}

type libpqSession struct {
	pool       *sql.DB
	connection *sql.Conn
	// By text; only with the setting "prepare".
	statements map[string]*sql.Stmt
	prepare    bool
}

func openLibpq(ctx context.Context, run *Run, c client) (*libpqSession, error) {
	parameters := map[string]string{"application_name": c.application(), "TimeZone": c.zone(), "sslmode": "disable"}
	if run.Setting == "binary_parameters=yes" {
		parameters["binary_parameters"] = "yes"
	}
	pool, err := sql.Open("postgres", with(run.URL, parameters))
	if err != nil {
		return nil, err
	}
	connection, err := pool.Conn(ctx)
	if err != nil {
		_ = pool.Close()
		return nil, err
	}
	return &libpqSession{pool, connection, map[string]*sql.Stmt{}, run.Setting == "prepare"}, nil
}

func (s *libpqSession) Query(ctx context.Context, q question, random *rand.Rand) ([][]any, error) {
	if !s.prepare {
		return scan(s.connection.QueryContext(ctx, q.text, q.id, q.value))
	}
	statement := s.statements[q.text]
	if statement == nil {
		prepared, err := s.connection.PrepareContext(ctx, q.text)
		if err != nil {
			return nil, err
		}
		statement = prepared
		s.statements[q.text] = statement
		pause(random)
	}
	rows, err := scan(statement.QueryContext(ctx, q.id, q.value))
	if random.IntN(4) == 0 {
		delete(s.statements, q.text)
		err = errors.Join(err, statement.Close())
	}
	return rows, err
}

func scan(rows *sql.Rows, err error) ([][]any, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]any
	for rows.Next() {
		values, places := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		all = append(all, values)
	}
	return all, rows.Err()
}

func (s *libpqSession) Rows(ctx context.Context, sql string) ([][]any, error) {
	return scan(s.connection.QueryContext(ctx, sql))
}

func (s *libpqSession) Exec(ctx context.Context, sql string) error {
	_, err := s.connection.ExecContext(ctx, sql)
	return err
}

func (s *libpqSession) Broken() bool {
	return s.connection.Raw(func(any) error { return nil }) != nil
}

func (s *libpqSession) Close() {
	_ = s.connection.Close()
	_ = s.pool.Close()
}

// The URL with these query parameters in place.
func with(raw string, parameters map[string]string) string {
	parsed, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	query := parsed.Query()
	for name, value := range parameters {
		query.Set(name, value)
	}
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

func libpqListen(ctx context.Context, run *Run) error {
	listener := pq.NewListener(with(run.URL, map[string]string{"sslmode": "disable"}), time.Second, time.Second, nil)
	defer func() { _ = listener.Close() }()
	if err := listener.Listen("news"); err != nil {
		return err
	}
	return notified(ctx, run, func() (string, error) {
		select {
		case notification := <-listener.Notify:
			if notification == nil {
				return "", errors.New("the listener has lost its connection")
			}
			return notification.Extra, nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	})
}

func libpqCopyIn(ctx context.Context, run *Run) error {
	s, err := openLibpq(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Exec(ctx, "create table copied (n integer, word text)"); err != nil {
		return err
	}
	transaction, err := s.connection.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	statement, err := transaction.PrepareContext(ctx, pq.CopyIn("copied", "n", "word"))
	if err != nil {
		return err
	}
	for n := range copied {
		if _, err := statement.ExecContext(ctx, n, fmt.Sprint("word ", n)); err != nil {
			return err
		}
	}
	if _, err := statement.ExecContext(ctx); err != nil {
		return err
	}
	if err := errors.Join(statement.Close(), transaction.Commit()); err != nil {
		return err
	}
	return expect(ctx, s, copiedText, copiedSum)
}

func libpqCancel(ctx context.Context, run *Run) error {
	s, err := openLibpq(ctx, run, visitor(run))
	if err != nil {
		return err
	}
	defer s.Close()
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	return cancelled(ctx, run, func() error { return s.Exec(inner, slow) }, func() error { cancel(); return nil })
}
