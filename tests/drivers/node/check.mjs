// The clients: each has a connection of its own, and all share one event loop.
import { Client, dice } from './query.mjs'

const patience = 20_000

// Rejects where nothing happens: a library that lost its answer waits for ever.
export async function within(promise, milliseconds = patience) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${milliseconds} ms`)), milliseconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

// One library with one setting. It exports version, connect(run, client), state(error) and features.
export class Run {
  constructor(library, url, setting, connections, queries, seed) {
    Object.assign(this, { library, url, setting, connections, queries, seed, visitors: 0 })
  }

  async check() {
    const workers = Array.from({ length: this.connections }, (_, index) => new Worker(this, new Client(index)))
    const working = Promise.all(workers.map(worker => worker.work()))
    const features = {}
    for (const [name, attempt] of Object.entries(this.library.features)) {
      features[name] = await within(attempt(this)).then(() => 'ok', error => String(error))
    }
    await working
    const sum = name => workers.reduce((total, worker) => total + worker[name], 0)
    const errors = {}
    for (const worker of workers)
      for (const [state, count] of Object.entries(worker.errors)) errors[state] = (errors[state] ?? 0) + count
    const examples = workers.flatMap(worker => worker.examples).slice(0, 8)
    return {
      version: this.library.version,
      queries: sum('queries'),
      wrong_rows: sum('wrongRows'),
      wrong_settings: sum('wrongSettings'),
      transactions: sum('transactions'),
      moved: sum('moved'),
      errors,
      features,
      examples,
    }
  }

  // A client beside those that run the checked queries.
  visitor() {
    return new Client(this.connections + ++this.visitors)
  }

  // A session whose client's settings are set: one at start-up, one either way, one by SQL.
  async connect(client) {
    const session = await this.library.connect(this, client)
    try {
      await session.execute(`set search_path to ${client.schema}`)
    } catch (error) {
      await within(session.close(), 1000).catch(() => {})
      throw error
    }
    return session
  }

  open() {
    return this.connect(this.visitor())
  }
}

// One client: it asks, and compares.
class Worker {
  queries = 0
  wrongRows = 0
  wrongSettings = 0
  transactions = 0
  moved = 0
  errors = {}
  examples = []

  constructor(run, client) {
    this.run = run
    this.client = client
    this.random = dice(run.seed * 1000 + client.index)
  }

  async work() {
    const wanted = Math.floor(this.run.queries / this.run.connections)
    for (let failures = 0; this.queries < wanted && failures < 100; ) {
      try {
        this.session ??= await within(this.run.connect(this.client))
        failures = 0
        await within(this.transaction())
      } catch (error) {
        if (!this.session) failures++
        this.failed(error)
        await this.mend()
      }
    }
    await this.session?.close()
  }

  // No text without need: each drops the server's unnamed statement, and so hides who else's it was.
  async mend() {
    if (!this.session || (!this.open && !this.session.broken())) return
    const session = this.session
    this.session = undefined
    this.open = false
    await within(session.close(), 1000).catch(() => {})
  }

  // One query, or now and then two in a transaction, which one server connection must answer.
  async transaction() {
    if (this.random.below(16)) return this.ended(await this.query(this.session))
    this.open = true
    await this.session.transaction(async inner => {
      const first = await this.query(inner)
      const second = await this.query(inner)
      if (first && second && first !== second) {
        this.wrongRows++
        this.example('one transaction on two server connections')
      }
      this.ended(second)
    })
    this.open = false
  }

  async query(session) {
    if (this.random.below(4) === 0) await new Promise(resume => setTimeout(resume, this.random.below(2)))
    this.queries++
    const question = this.client.ask(this.random, this.client.index * 2 ** 32 + this.queries)
    const { row, setting, pid } = this.client.judge(question, await session.query(question))
    if (row) this.wrongRows++
    else if (setting) this.wrongSettings++
    if (row ?? setting) this.example(row ?? setting)
    return pid
  }

  ended(pid) {
    if (pid && this.pid) {
      this.transactions++
      if (pid !== this.pid) this.moved++
    }
    this.pid = pid ?? this.pid
  }

  failed(error) {
    const state = this.run.library.state(error) ?? (this.session ? 'client' : 'connect')
    this.errors[state] = (this.errors[state] ?? 0) + 1
    this.example(`${state}: ${error}`)
  }

  example(text) {
    if (this.examples.length < 2) this.examples.push(text)
  }
}

// A session whose transactions are texts.
export class Plain {
  async transaction(work) {
    await this.execute('begin')
    await work(this)
    await this.execute('commit')
  }
}
