// Prisma 7 with its adapter for node-postgres, one connection for each client.
import { createRequire } from 'node:module'
import { PrismaPg } from '@prisma/adapter-pg'
import prisma from '../prisma/index.js'
import { equal, expect, fails } from '../features.mjs'

export const { version } = createRequire(import.meta.url)('@prisma/client/package.json')

export const state = error => {
  const cause = error?.meta?.driverAdapterError?.cause ?? error?.cause
  const code = cause?.originalCode ?? error?.meta?.code
  return code?.length === 5 ? code : undefined
}

class Session {
  constructor(client) {
    this.client = client
  }

  query({ text, id, value }) {
    return this.client.$queryRawUnsafe(text, id, value)
  }

  execute(text) {
    return this.client.$executeRawUnsafe(text)
  }

  transaction(work) {
    return this.client.$transaction(inner => work(new Session(inner)), { maxWait: 20_000, timeout: 20_000 })
  }

  // Its pool would connect anew, without what was set by SQL.
  broken() {
    return this.lost
  }

  close() {
    return this.client.$disconnect()
  }
}

export async function connect(run, who) {
  const session = new Session()
  const pool = {
    connectionString: run.url,
    max: 1,
    idleTimeoutMillis: 0,
    application_name: who.application,
    options: `-c TimeZone=${who.zone}`,
  }
  const adapter = new PrismaPg(pool, {
    onPoolError: () => (session.lost = true),
    onConnectionError: () => (session.lost = true),
  })
  session.client = new prisma.PrismaClient({ adapter, log: [] })
  return session
}

async function models(run) {
  const session = await run.open()
  await session.execute('create table public.numbers (n integer primary key, word text not null)')
  const { client } = session
  const data = Array.from({ length: 500 }, (_, n) => ({ n, word: `word ${n}` }))
  await client.number.createMany({ data })
  const failing = client.$transaction([
    client.number.create({ data: { n: 1000, word: 'gone' } }),
    client.number.create({ data: { n: 1, word: 'taken' } }),
  ])
  equal(await failing.catch(error => error.code), 'P2002')
  await client.number.updateMany({ where: { n: { lt: 100 } }, data: { word: 'small' } })
  const seen = await client.number.findMany({ where: { n: { gte: 98 } }, orderBy: { n: 'asc' } })
  equal(seen, data.slice(98).map(({ n, word }) => ({ n, word: n < 100 ? 'small' : word })))
  await session.close()
}

async function error(run) {
  const session = await run.open()
  await session.execute('create table broken (n integer)')
  const inner = session.transaction(async inner => {
    await inner.execute('insert into broken values (1)')
    await inner.query({ text: 'select $1::bigint / (case when $2::boolean then 0 end)', id: 7, value: true })
  })
  await fails(run, '22012', inner)
  await expect(session, 'select count(*) as count from broken', { count: 0 })
  await session.close()
}

export const features = { models, error }
