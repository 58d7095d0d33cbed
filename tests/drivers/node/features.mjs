// What is tried once under each library, while others run their queries.
import { same } from './query.mjs'

export const copied = 20000
export const slow = 'select pg_sleep(60) /* slow */'
export const copiedText = 'select sum(n)::bigint as sum, count(distinct word)::bigint as count from copied'
export const copiedSum = { sum: (copied * (copied - 1)) / 2, count: copied }

export function equal(seen, expected) {
  const [left, right] = [seen, expected].map(value => JSON.stringify(value))
  if (left !== right) throw new Error(`${left?.slice(0, 200)}, not ${right?.slice(0, 200)}`)
}

// The one row of a text without parameters, asked as all the others, so that each library answers it in its own way.
export async function expect(session, text, expected) {
  const rows = await session.query({ text: `${text} where $1::bigint = 7 and $2::boolean`, id: 7, value: true })
  equal(rows.length, 1)
  for (const [name, value] of Object.entries(expected))
    if (!same(Number(rows[0][name]), value)) throw new Error(`${name} is ${rows[0][name]}, not ${value}`)
}

export async function fails(run, state, promise) {
  const error = await promise.then(() => undefined, error => error)
  if (!error) throw new Error(`no ${state}`)
  if (run.library.state(error) !== state) throw new Error(`${error}, not ${state}`)
}

// Somebody listens to `news` already, and gets what is sent now.
export async function notified(run, following) {
  const session = await run.open()
  const expected = ['message 0', 'message 1', 'message 2']
  for (const message of expected) await session.execute(`notify news, '${message}'`)
  const seen = []
  for (const _ of expected) seen.push(await following())
  equal(seen, expected)
  await session.close()
}

// What arrived and was not waited for yet, and who waits for what has not arrived.
export function mailbox() {
  const arrived = []
  const waiting = []
  return {
    put: message => (waiting.length ? waiting.shift()(message) : arrived.push(message)),
    take: () => (arrived.length ? Promise.resolve(arrived.shift()) : new Promise(resolve => waiting.push(resolve))),
  }
}

export async function savepoint(run) {
  const session = await run.open()
  for (const text of [
    'create table saved (n integer)',
    'begin',
    'insert into saved values (1)',
    'savepoint one',
    'insert into saved values (2)',
  ])
    await session.execute(text)
  await fails(run, '22012', session.execute('select 1/0'))
  await fails(run, '25P02', session.execute('select 1'))
  for (const text of [
    'rollback to savepoint one',
    'insert into saved values (4)',
    'release savepoint one',
    'commit',
  ])
    await session.execute(text)
  await expect(session, 'select sum(n)::bigint as sum, count(*) as count from saved', { sum: 5, count: 2 })
  await session.close()
}

// Cancels a query that is surely running: it ends with 57014.
export async function cancelled(run, query, cancel) {
  const watcher = await run.open()
  const ended = fails(run, '57014', query())
  let early = false
  ended.catch(() => (early = true))
  const text = `select count(*) as count from pg_stat_activity
    where state = 'active' and query = '${slow}' and pid <> pg_backend_pid() and $1::bigint = 7 and $2::boolean`
  for (let count = 0; count === 0 && !early; ) {
    const rows = await watcher.query({ text, id: 7, value: true })
    count = Number(rows[0].count)
  }
  await cancel()
  await ended
  await watcher.close()
}

export const numbers = count => Array.from({ length: count }, (_, i) => i + 1)
