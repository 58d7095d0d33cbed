package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

const (
	copied     = 20000
	copiedText = "select sum(n)::bigint, count(distinct word)::bigint from copied"
	slow       = "select pg_sleep(60) /* slow */"
)

var copiedSum = []any{int64(copied) * (copied - 1) / 2, int64(copied)}

var visitors atomic.Int32

// A client beside those that run the checked queries.
func visitor(run *Run) client {
	return client{run.Connections + int(visitors.Add(1))}
}

func open(ctx context.Context, run *Run) (Session, error) {
	return connect(ctx, run, visitor(run))
}

// The one row of a text without parameters must be this.
func expect(ctx context.Context, s Session, text string, expected []any) error {
	// As all the others, so that each driver answers it in its own way.
	q := question{text + " where $1::bigint = 7 and $2::boolean", 7, true, nil}
	rows, err := s.Query(ctx, q, rand.New(rand.NewPCG(1, 1)))
	if err != nil {
		return err
	}
	if len(rows) != 1 || len(rows[0]) != len(expected) {
		return fmt.Errorf("%s: %v", text, rows)
	}
	for i, value := range rows[0] {
		if !same(widen(value), expected[i]) {
			return fmt.Errorf("%s: %v, not %v", text, rows[0], expected)
		}
	}
	return nil
}

func failsWith(run *Run, state string, err error) error {
	if err == nil {
		return fmt.Errorf("no %s", state)
	}
	if seen := run.State(err); seen != state {
		return fmt.Errorf("%s, not %s: %w", seen, state, err)
	}
	return nil
}

func execAll(ctx context.Context, s Session, texts ...string) error {
	for _, text := range texts {
		if err := s.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// Somebody listens to `news` already, and gets what is sent now.
func notified(ctx context.Context, run *Run, next func() (string, error)) error {
	s, err := open(ctx, run)
	if err != nil {
		return err
	}
	defer s.Close()
	for i := range 3 {
		if err := s.Exec(ctx, fmt.Sprintf("notify news, 'message %d'", i)); err != nil {
			return err
		}
	}
	for i := range 3 {
		got, err := next()
		if err != nil {
			return err
		}
		if got != fmt.Sprintf("message %d", i) {
			return fmt.Errorf("message %d is %q", i, got)
		}
	}
	return nil
}

// Two cursors that are read in turns.
func cursor(ctx context.Context, run *Run) error {
	s, err := open(ctx, run)
	if err != nil {
		return err
	}
	defer s.Close()
	err = execAll(ctx, s, "begin", "declare up cursor for select n from generate_series(1, 1000) n",
		"declare down cursor for select n from generate_series(1000, 1, -1) n")
	if err != nil {
		return err
	}
	for i := range 10 {
		up, upErr := s.Rows(ctx, "fetch 100 from up")
		down, downErr := s.Rows(ctx, "fetch 100 from down")
		if err := errors.Join(upErr, downErr); err != nil {
			return err
		}
		if len(up) != 100 || len(down) != 100 {
			return fmt.Errorf("fetched %d and %d rows", len(up), len(down))
		}
		for j := range up {
			n := int64(100*i + j + 1)
			if widen(up[j][0]) != n || widen(down[j][0]) != 1001-n {
				return fmt.Errorf("fetched %v and %v as number %d", up[j][0], down[j][0], n)
			}
		}
	}
	return execAll(ctx, s, "close up", "close down", "commit")
}

func savepoint(ctx context.Context, run *Run) error {
	s, err := open(ctx, run)
	if err != nil {
		return err
	}
	defer s.Close()
	err = execAll(ctx, s, "create table saved (n integer)", "begin", "insert into saved values (1)", "savepoint one",
		"insert into saved values (2)")
	if err != nil {
		return err
	}
	if err := failsWith(run, "22012", s.Exec(ctx, "select 1/0")); err != nil {
		return err
	}
	if err := failsWith(run, "25P02", s.Exec(ctx, "select 1")); err != nil {
		return err
	}
	err = execAll(ctx, s, "rollback to savepoint one", "insert into saved values (4)", "release savepoint one", "commit")
	if err != nil {
		return err
	}
	return expect(ctx, s, "select sum(n)::bigint, count(*) from saved", []any{int64(5), int64(2)})
}

// Cancels a query that is surely running, and that it ends with 57014.
func cancelled(ctx context.Context, run *Run, query func() error, cancel func() error) error {
	watcher, err := open(ctx, run)
	if err != nil {
		return err
	}
	defer watcher.Close()
	ended := make(chan error, 1)
	go func() { ended <- query() }()
	running := "select count(*) from pg_stat_activity where state = 'active' and query = '" + slow + "' and pid <> pg_backend_pid()"
	wrapped := "select n from (" + running + ") t (n)"
	for expect(ctx, watcher, wrapped, []any{int64(1)}) != nil {
		select {
		case err := <-ended:
			return errors.Join(errors.New("ended before it was cancelled"), err)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
	if err := cancel(); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return failsWith(run, "57014", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}
