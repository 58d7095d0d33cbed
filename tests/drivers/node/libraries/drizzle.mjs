// Drizzle, over node-postgres or over postgres.js.
import { readFileSync } from 'node:fs'
import { asc, eq, gte, sql } from 'drizzle-orm'
import { drizzle as overPg } from 'drizzle-orm/node-postgres'
import { integer, pgTable, text as textColumn } from 'drizzle-orm/pg-core'
import { drizzle as overPostgres } from 'drizzle-orm/postgres-js'
import { equal, expect, fails } from '../features.mjs'
import * as pg from './pg.mjs'
import * as postgres from './postgres.mjs'

export const version = JSON.parse(
  readFileSync(new URL('../node_modules/drizzle-orm/package.json', import.meta.url)),
).version

export const state = error => {
  const inner = error?.cause ?? error
  return pg.state(inner) ?? postgres.state(inner)
}

class Session {
  constructor(database, under) {
    Object.assign(this, { database, under })
  }

  async query({ text, id, value }) {
    const values = [id, value]
    const chunks = text.split(/\$[12]/).flatMap((part, i) => [sql.raw(part), ...(i < 2 ? [sql.param(values[i])] : [])])
    const result = await this.database.execute(sql.join(chunks))
    return [...(result.rows ?? result)]
  }

  execute(text) {
    return this.database.execute(sql.raw(text))
  }

  transaction(work) {
    return this.database.transaction(inner => work(new Session(inner, this.under)))
  }

  broken() {
    return this.under.broken()
  }

  close() {
    return this.under.close()
  }
}

export async function connect(run, who) {
  if (run.setting === 'node-postgres') {
    const under = await pg.connect(run, who)
    return new Session(overPg(under.client), under)
  }
  const under = await postgres.connect(run, who)
  return new Session(overPostgres(under.sql), under)
}

const table = pgTable('drizzled', { n: integer().primaryKey(), word: textColumn() })

// A statement that is prepared by name, and a transaction within a transaction.
async function builder(run) {
  const session = await run.open()
  const { database } = session
  await session.execute('create table drizzled (n integer primary key, word text)')
  const rows = Array.from({ length: 200 }, (_, n) => ({ n, word: `word ${n}` }))
  await database.transaction(async outer => {
    await outer.insert(table).values(rows)
    const inner = outer.transaction(async inner => {
      await inner.delete(table).where(gte(table.n, 100))
      await inner.insert(table).values({ n: 1, word: 'taken' })
    })
    await fails(run, '23505', inner)
  })
  const one = database.select().from(table).where(eq(table.n, sql.placeholder('n'))).prepare('one')
  for (let n = 0; n < 200; n += 10) equal(await one.execute({ n }), [rows[n]])
  equal(await database.select().from(table).orderBy(asc(table.n)), rows)
  await expect(session, 'select count(*) as count from drizzled', { count: 200 })
  await session.close()
}

export const features = { builder }
