// Runs checked queries through one Node client library and prints one JSON line: see ../README.md.
import { Run } from './check.mjs'

const { DRIVER, URL: url, SETTING, CONNECTIONS, QUERIES, SEED } = process.env
const library = await import(`./libraries/${DRIVER}.mjs`)
const run = new Run(library, url, SETTING, Number(CONNECTIONS), Number(QUERIES), Number(SEED))
const result = await run.check()
// A library may still wait for something.
process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0))
