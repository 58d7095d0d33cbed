// postgres.js, one connection for each client. Settings: prepare.
import { readFileSync } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import postgres from 'postgres'
import { Plain } from '../check.mjs'
import * as shared from '../features.mjs'

export const version = JSON.parse(
  readFileSync(new URL('../node_modules/postgres/package.json', import.meta.url)),
).version

export const state = error => (error?.name === 'PostgresError' ? error.code : undefined)

class Session extends Plain {
  constructor(sql) {
    super()
    this.sql = sql
  }

  // As in sql`select ${id}::bigint, ...`.
  async query({ text, id, value }) {
    const parts = text.split(/\$[12]/)
    return [...(await this.sql(Object.assign(parts, { raw: parts }), id, value))]
  }

  execute(text) {
    return this.sql.unsafe(text)
  }

  // It would connect anew, without what was set by SQL.
  broken() {
    return this.lost
  }

  close() {
    return this.sql.end({ timeout: 1 })
  }
}

export async function connect(run, who) {
  const session = new Session()
  session.sql = postgres(run.url, {
    max: 1,
    max_lifetime: null,
    prepare: run.setting !== 'prepare=false',
    connection: { application_name: who.application, TimeZone: who.zone },
    types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
    onnotice: () => {},
    onclose: () => (session.lost = true),
  })
  return session
}

async function listen(run) {
  const session = await connect(run, run.visitor())
  const box = shared.mailbox()
  await session.sql.listen('news', box.put)
  await shared.notified(run, box.take)
  await session.close()
}

async function copyIn(run) {
  const session = await run.open()
  await session.execute('create table copied (n integer, word text)')
  const lines = Array.from({ length: shared.copied }, (_, n) => `${n}\tword ${n}\n`)
  await pipeline(Readable.from(lines), await session.sql`copy copied from stdin`.writable())
  await shared.expect(session, shared.copiedText, shared.copiedSum)
  await session.close()
}

async function copyOut(run) {
  const session = await run.open()
  const chunks = []
  const stream = await session.sql`copy (select n from generate_series(1, 50000) n) to stdout`.readable()
  for await (const chunk of stream) chunks.push(chunk)
  const lines = Buffer.concat(chunks).toString().trim().split('\n').map(Number)
  shared.equal(lines, shared.numbers(50000))
  await session.close()
}

async function cursor(run) {
  const session = await run.open()
  const seen = []
  for await (const rows of session.sql`select n from generate_series(1, ${1000}::integer) n`.cursor(50))
    seen.push(...rows.map(row => row.n))
  shared.equal(seen, shared.numbers(1000))
  await session.close()
}

async function largeObject(run) {
  const session = await run.open()
  const written = Buffer.alloc(30000, 'a large object ')
  const object = await session.sql.largeObject()
  await object.write(written)
  await object.seek(0)
  const [{ data }] = await object.read(40000)
  if (!written.equals(data)) throw new Error(`read ${data.length} other bytes`)
  await object.close()
  await session.close()
}

async function nested(run) {
  const session = await run.open()
  await session.execute('create table nested (n integer)')
  await session.sql.begin(async sql => {
    await sql`insert into nested values (${1})`
    const inner = sql.savepoint(async sql => {
      await sql`insert into nested values (${2})`
      await sql`select 1 / ${0}::integer`
    })
    await shared.fails(run, '22012', inner)
    await sql`insert into nested values (${4})`
  })
  await shared.expect(session, 'select sum(n)::bigint as sum from nested', { sum: 5 })
  await session.close()
}

// Sent without waiting for answers; one in the middle fails, those after it do not.
async function pipelineError(run) {
  const session = await run.open()
  const { sql } = session
  const ask = n => sql`select 10 / ${n}::integer as n`
  const answers = await Promise.allSettled([5, 2, 0, 1, 10].map(ask))
  shared.equal(answers.map(answer => answer.value?.[0]?.n ?? answer.reason?.code), [2, 5, '22012', 10, 1])
  await session.close()
}

async function cancel(run) {
  const session = await connect(run, run.visitor())
  const query = session.execute(shared.slow)
  await shared.cancelled(run, () => query.execute(), () => query.cancel())
  await shared.expect(session, 'select 5 as five', { five: 5 })
  await session.close()
}

export const features = {
  listen,
  'copy in': copyIn,
  'copy out': copyOut,
  cursor,
  'large object': largeObject,
  savepoint: shared.savepoint,
  nested,
  'pipeline error': pipelineError,
  cancel,
}
