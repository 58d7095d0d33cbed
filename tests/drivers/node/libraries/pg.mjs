// node-postgres. Settings: unnamed statements, as without further words, or named ones.
import { createRequire } from 'node:module'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import pg from 'pg'
import { from, to } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import { Plain } from '../check.mjs'
import * as shared from '../features.mjs'

export const { version } = createRequire(import.meta.url)('pg/package.json')

pg.types.setTypeParser(pg.types.builtins.INT8, Number)

export const state = error => (error?.code?.length === 5 ? error.code : undefined)

// Of the texts, the same in each client.
const names = new Map()

class Session extends Plain {
  constructor(client, named) {
    super()
    Object.assign(this, { client, named, lost: false })
    client.on('error', () => (this.lost = true))
    client.on('end', () => (this.lost = true))
  }

  async query({ text, id, value }) {
    const query = { text, values: [id, value] }
    if (this.named) {
      if (!names.has(text)) names.set(text, `q${names.size}`)
      query.name = names.get(text)
    }
    return (await this.client.query(query)).rows
  }

  execute(text) {
    return this.client.query(text)
  }

  broken() {
    return this.lost
  }

  close() {
    return this.client.end()
  }
}

export async function connect(run, who) {
  const options = run.setting === 'named' ? undefined : `-c TimeZone=${who.zone}`
  const client = new pg.Client({ connectionString: run.url, application_name: who.application, options })
  const session = new Session(client, run.setting === 'named')
  await client.connect()
  if (!options) await session.execute(`set TimeZone to '${who.zone}'`)
  return session
}

async function listen(run) {
  const session = await connect(run, run.visitor())
  const box = shared.mailbox()
  session.client.on('notification', message => box.put(message.payload))
  await session.execute('listen news')
  await shared.notified(run, box.take)
  await session.close()
}

async function copyIn(run) {
  const session = await run.open()
  await session.execute('create table copied (n integer, word text)')
  const lines = Array.from({ length: shared.copied }, (_, n) => `${n}\tword ${n}\n`)
  await pipeline(Readable.from(lines), session.client.query(from('copy copied from stdin')))
  await shared.expect(session, shared.copiedText, shared.copiedSum)
  await session.close()
}

async function copyOut(run) {
  const session = await run.open()
  const chunks = []
  const stream = session.client.query(to('copy (select n from generate_series(1, 50000) n) to stdout'))
  for await (const chunk of stream) chunks.push(chunk)
  const lines = Buffer.concat(chunks).toString().trim().split('\n').map(Number)
  shared.equal(lines, shared.numbers(50000))
  await session.close()
}

// A portal that is read bit by bit, by Execute with a limit and Flush.
async function cursor(run) {
  const session = await run.open()
  const portal = session.client.query(new Cursor('select n from generate_series(1, $1::integer) n', [1000]))
  const seen = []
  for (let rows = await portal.read(50); rows.length; rows = await portal.read(50)) seen.push(...rows.map(row => row.n))
  await portal.close()
  shared.equal(seen, shared.numbers(1000))
  await shared.expect(session, 'select 5 as five', { five: 5 })
  await session.close()
}

// The library has no call for it; this is what its users write.
async function cancel(run) {
  const session = await connect(run, run.visitor())
  const { processID, secretKey } = session.client
  const query = () => session.execute(shared.slow)
  await shared.cancelled(run, query, async () => {
    const other = new pg.Client({ connectionString: run.url })
    const { connection } = other
    await new Promise((resolve, reject) => {
      connection.once('error', reject)
      connection.once('end', resolve)
      connection.on('connect', () => connection.cancel(processID, secretKey))
      connection.connect(other.port, other.host)
    })
  })
  await shared.expect(session, 'select 5 as five', { five: 5 })
  await session.close()
}

export const features = {
  listen,
  'copy in': copyIn,
  'copy out': copyOut,
  cursor,
  savepoint: shared.savepoint,
  cancel,
}
