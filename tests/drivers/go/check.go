package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// A Session is one connection of a client library.
type Session interface {
	// Query runs one text with its two parameters and returns all rows.
	Query(ctx context.Context, q question, random *rand.Rand) ([][]any, error)
	// Rows runs one text without parameters, and returns its rows.
	Rows(ctx context.Context, sql string) ([][]any, error)
	// Exec runs one text without parameters.
	Exec(ctx context.Context, sql string) error
	Broken() bool
	Close()
}

// A Driver is one client library.
type Driver struct {
	Module   string
	Connect  func(ctx context.Context, run *Run, c client) (Session, error)
	State    func(err error) string
	Features []Feature
}

// A Feature is something that is tried once, while others run their queries.
type Feature struct {
	Name string
	Try  func(ctx context.Context, run *Run) error
}

// A Run is one driver with one setting.
type Run struct {
	Driver
	URL         string
	Setting     string
	Connections int
	Queries     int
	Seed        int
}

// A Result is what is printed.
type Result struct {
	Version       string            `json:"version"`
	Queries       int               `json:"queries"`
	WrongRows     int               `json:"wrong_rows"`
	WrongSettings int               `json:"wrong_settings"`
	Errors        map[string]int    `json:"errors"`
	Transactions  int               `json:"transactions"`
	Moved         int               `json:"moved"`
	Features      map[string]string `json:"features"`
	Examples      []string          `json:"examples"`
}

const patience = 20 * time.Second

func (r *Run) check() *Result {
	total := &Result{Version: r.version(), Errors: map[string]int{}, Features: map[string]string{}}
	var lock sync.Mutex
	var all sync.WaitGroup
	for index := range r.Connections {
		all.Go(func() {
			worker := &worker{run: r, client: client{index}, result: Result{Errors: map[string]int{}}}
			worker.random = rand.New(rand.NewPCG(uint64(r.Seed), uint64(index)))
			worker.work(r.Queries / r.Connections)
			lock.Lock()
			defer lock.Unlock()
			total.add(&worker.result)
		})
	}
	for _, feature := range r.Features {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		outcome := "ok"
		if err := feature.Try(ctx, r); err != nil {
			outcome = err.Error()
		}
		cancel()
		lock.Lock()
		total.Features[feature.Name] = outcome
		lock.Unlock()
	}
	all.Wait()
	return total
}

func (r *Run) version() string {
	info, _ := debug.ReadBuildInfo()
	for _, module := range info.Deps {
		if module.Path == r.Module {
			return module.Version
		}
	}
	return "unknown"
}

func (r *Result) add(other *Result) {
	r.Queries += other.Queries
	r.WrongRows += other.WrongRows
	r.WrongSettings += other.WrongSettings
	r.Transactions += other.Transactions
	r.Moved += other.Moved
	for state, count := range other.Errors {
		r.Errors[state] += count
	}
	r.Examples = append(r.Examples, other.Examples...)
	r.Examples = r.Examples[:min(len(r.Examples), 8)]
}

// A worker is one client: it asks, and compares.
type worker struct {
	run     *Run
	client  client
	random  *rand.Rand
	session Session
	// A transaction of several queries is.
	open   bool
	pid    int64
	result Result
}

func (w *worker) work(queries int) {
	for failures := 0; w.result.Queries < queries && failures < 100; {
		w.once(&failures)
	}
	if w.session != nil {
		w.session.Close()
	}
}

func (w *worker) once(failures *int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if w.session == nil {
		session, err := connect(ctx, w.run, w.client)
		if err != nil {
			w.failed("connect", err)
			*failures++
			return
		}
		w.session = session
	}
	*failures = 0
	if err := w.transaction(ctx); err != nil {
		w.failed(w.run.State(err), err)
		// No text without need: each drops the server's unnamed statement, and so hides who else's it was.
		if w.session.Broken() || w.open && w.session.Exec(ctx, "rollback") != nil {
			w.session.Close()
			w.session = nil
		}
		w.open = false
	}
}

// A session whose client's settings are set: one at start-up, one either way, one by SQL.
func connect(ctx context.Context, run *Run, c client) (Session, error) {
	session, err := run.Connect(ctx, run, c)
	if err != nil {
		return nil, err
	}
	if err := session.Exec(ctx, "set search_path to "+c.schema()); err != nil {
		session.Close()
		return nil, err
	}
	return session, nil
}

// One query, or now and then two in a transaction, which one server connection must answer.
func (w *worker) transaction(ctx context.Context) error {
	if w.random.IntN(16) != 0 {
		pid, err := w.query(ctx)
		w.ended(pid)
		return err
	}
	w.open = true
	if err := w.session.Exec(ctx, "begin"); err != nil {
		return err
	}
	first, err := w.query(ctx)
	if err != nil {
		return err
	}
	second, err := w.query(ctx)
	if err != nil {
		return err
	}
	if first != second && first != 0 && second != 0 {
		w.result.WrongRows++
		w.example("one transaction on two server connections")
	}
	w.ended(second)
	err = w.session.Exec(ctx, "commit")
	w.open = err != nil
	return err
}

func (w *worker) query(ctx context.Context) (int64, error) {
	w.pause()
	w.result.Queries++
	q := w.client.ask(w.random, int64(w.client.index)<<32+int64(w.result.Queries))
	rows, err := w.ask(ctx, q)
	if err != nil {
		return 0, err
	}
	row, setting, pid := w.client.judge(q, rows)
	if row != "" {
		w.result.WrongRows++
		w.example(row)
	} else if setting != "" {
		w.result.WrongSettings++
		w.example(setting)
	}
	return pid, nil
}

// A library may panic over rows that are none of its own.
func (w *worker) ask(ctx context.Context, q question) (rows [][]any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panicked: %v", reason)
		}
	}()
	return w.session.Query(ctx, q, w.random)
}

func (w *worker) pause() { pause(w.random) }

func pause(random *rand.Rand) {
	if random.IntN(4) == 0 {
		time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
	}
}

func (w *worker) ended(pid int64) {
	if pid == 0 {
		return
	}
	if w.pid != 0 {
		w.result.Transactions++
		if w.pid != pid {
			w.result.Moved++
		}
	}
	w.pid = pid
}

func (w *worker) failed(state string, err error) {
	w.result.Errors[state]++
	w.example(fmt.Sprintf("%s: %v", state, err))
}

func (w *worker) example(text string) {
	if len(w.result.Examples) < 2 {
		w.result.Examples = append(w.result.Examples, text)
	}
}
