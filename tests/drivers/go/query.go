package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

const settings = "current_setting('application_name'), current_setting('TimeZone'), current_setting('search_path'), pg_backend_pid()"

// A question is one text with values that only its asker knows.
type question struct {
	text  string
	id    int64
	value any
	// Of the second column, one for each row.
	expected []any
}

// Who asks. Clients with an odd number have settings of their own; the others share theirs, so that a pooler has nothing to set
// between them: PgBouncer's SET would drop the unnamed statement, and an error would hide the wrong rows.
type client struct {
	index int
}

func (c client) application() string { return fmt.Sprintf("driver-%d", c.group()) }
func (c client) schema() string      { return fmt.Sprintf("client_%d", c.group()) }

// Twenty-six zones, more than there are clients that check.
func (c client) zone() string { return fmt.Sprintf("Etc/GMT%+d", c.group()%26-12) }

func (c client) group() int {
	if c.index%2 == 0 {
		return 0
	}
	return c.index
}

func (c client) ask(random *rand.Rand, id int64) question {
	word := fmt.Sprintf("ä%x", random.Uint64())
	simple := func(kind string, value any) question {
		return question{"select $1::bigint, $2::" + kind + ", " + settings, id, value, []any{value}}
	}
	switch random.IntN(7) {
	case 0:
		return simple("integer", int64(random.Int32()))
	case 1:
		return simple("text", word)
	case 2:
		return simple("double precision", random.Float64())
	case 3:
		return simple("boolean", random.IntN(2) == 0)
	case 4:
		data := make([]byte, random.IntN(40))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		return simple("bytea", data)
	case 5:
		// The table is another one for each client.
		text := "select $1::bigint, own.name || $2::text, " + settings + " from own"
		return question{text, id, word, []any{c.schema() + word}}
	default:
		count := int64(1 + random.IntN(5))
		text := "select $1::bigint, n, " + settings + " from generate_series(1, $2::integer) n"
		expected := make([]any, count)
		for i := range expected {
			expected[i] = int64(i + 1)
		}
		return question{text, id, count, expected}
	}
}

// What is wrong with the rows, and what with the settings; and the server's process that answered.
func (c client) judge(q question, rows [][]any) (row, setting string, pid int64) {
	if len(rows) != len(q.expected) {
		return fmt.Sprintf("%d rows, not %d", len(rows), len(q.expected)), "", 0
	}
	for i, columns := range rows {
		if len(columns) != 6 {
			return fmt.Sprintf("%d columns", len(columns)), "", 0
		}
		pid, _ = widen(columns[5]).(int64)
		if id := widen(columns[0]); id != q.id {
			return fmt.Sprintf("id %v, not %v", id, q.id), "", pid
		}
		if value := widen(columns[1]); !same(value, q.expected[i]) {
			text, isText := value.(string)
			word, _ := q.value.(string)
			if isText && word != "" && len(text) > len(word) && text[len(text)-len(word):] == word {
				setting = fmt.Sprintf("table of %q, not %v", text, q.expected[i])
			} else {
				return fmt.Sprintf("value %v, not %v", value, q.expected[i]), "", pid
			}
		}
		for j, expected := range []string{c.application(), c.zone(), c.schema()} {
			if columns[2+j] != expected {
				setting = fmt.Sprintf("setting %v, not %v", columns[2+j], expected)
			}
		}
	}
	return "", setting, pid
}

func widen(value any) any {
	switch value := value.(type) {
	case int32:
		return int64(value)
	case int:
		return int64(value)
	default:
		return value
	}
}

func same(left, right any) bool {
	if left, ok := left.([]byte); ok {
		right, ok := right.([]byte)
		return ok && bytes.Equal(left, right)
	}
	if _, ok := right.([]byte); ok {
		return false
	}
	return left == right
}
