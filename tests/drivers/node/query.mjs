// Texts, values that only their asker knows, and the comparison.

const settings = `current_setting('application_name') as application, current_setting('TimeZone') as zone,
  current_setting('search_path') as path, pg_backend_pid() as pid`

// Random numbers from a seed (mulberry32).
export function dice(seed) {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return { next, below: limit => Math.floor(next() * limit) }
}

// Who asks. Clients with an odd number have settings of their own; the others share theirs, so that a pooler has nothing to set
// between them: PgBouncer's SET would drop the unnamed statement, and an error would hide the wrong rows.
export class Client {
  constructor(index) {
    this.index = index
    const group = index % 2 ? index : 0
    this.application = `driver-${group}`
    this.schema = `client_${group}`
    const hours = (group % 26) - 12
    this.zone = `Etc/GMT${hours < 0 ? '' : '+'}${hours}`
  }

  ask(random, id) {
    const word = `ä${random.below(2 ** 32).toString(16)}`
    const simple = (kind, value) => ({
      text: `select $1::bigint as id, $2::${kind} as value, ${settings}`,
      id,
      value,
      expected: [value],
    })
    switch (random.below(7)) {
      case 0:
        return simple('integer', random.below(2 ** 31))
      case 1:
        return simple('text', word)
      case 2:
        return simple('double precision', random.next() + 0.1)
      case 3:
        return simple('boolean', random.below(2) === 0)
      case 4:
        return simple('bytea', Buffer.from(Array.from({ length: random.below(40) }, () => random.below(256))))
      case 5:
        return {
          text: `select $1::bigint as id, own.name || $2::text as value, ${settings} from own`,
          id,
          value: word,
          word,
          expected: [this.schema + word],
        }
      default: {
        const count = 1 + random.below(5)
        return {
          text: `select $1::bigint as id, n as value, ${settings} from generate_series(1, $2::integer) n`,
          id,
          value: count,
          expected: Array.from({ length: count }, (_, i) => i + 1),
        }
      }
    }
  }

  // What is wrong with the rows, what with the settings, and the server's process that answered.
  judge(question, rows) {
    if (rows.length !== question.expected.length) return { row: `${rows.length} rows, not ${question.expected.length}` }
    let setting, pid
    for (const [i, row] of rows.entries()) {
      const expected = question.expected[i]
      pid = plain(row.pid)
      if (plain(row.id) !== question.id) return { row: `id ${row.id}, not ${question.id}`, pid }
      const value = plain(row.value)
      if (!same(value, expected)) {
        if (!(question.word && typeof value === 'string' && value.endsWith(question.word)))
          return { row: `value ${value}, not ${expected}`, pid }
        setting = `table of ${value}, not ${expected}`
      }
      for (const [seen, own] of [
        [row.application, this.application],
        [row.zone, this.zone],
        [row.path, this.schema],
      ])
        if (seen !== own) setting = `setting ${seen}, not ${own}`
    }
    return { setting, pid }
  }
}

// Numbers of 64 bits fit, as they are small enough; bytes are bytes.
function plain(value) {
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Uint8Array) return Buffer.from(value)
  return value
}

export function same(left, right) {
  if (Buffer.isBuffer(right)) return Buffer.isBuffer(left) && left.equals(right)
  return left === right
}
